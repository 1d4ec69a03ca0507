"""Where a server listens: names and IPv6, ports that are taken, and whose they are."""

from __future__ import annotations

import os
import re
import socket

import pytest
from resnet50_triton.errors import BadParameter
from resnet50_triton.server.access import Access
from resnet50_triton.server.addresses import Ports, is_listening, is_loopback, resolve


def test_names_become_numbers() -> None:
    assert resolve("localhost") == "127.0.0.1"
    assert resolve("0.0.0.0") == "0.0.0.0"
    assert resolve("[::1]") == resolve("::1") == "::1"


@pytest.mark.parametrize(
    "host", ["", "no.such.host.invalid", "::1::2", "fe80::1%lo", "a b", "x" * 300, "127.0.0.1:8000"]
)
def test_what_is_no_address_is_named(host: str) -> None:
    with pytest.raises(BadParameter, match=re.escape(f"--host '{host}'")):
        Ports(host, 1, 2, 3).resolved()


def test_each_part_of_triton_has_its_spelling() -> None:
    ports = Ports("::1", 8000, 8001, 8002, "127.0.0.1").resolved()
    assert ports.options() == [
        "--http-address=127.0.0.1",
        "--http-port=8000",
        "--grpc-address=[::1]",
        "--grpc-port=8001",
        "--metrics-address=ipv6:::1",
        "--metrics-port=8002",
    ]
    assert (ports.http_url, ports.grpc_url) == ("127.0.0.1:8000", "[::1]:8001")


@pytest.mark.parametrize("option", ["http", "grpc", "metrics"])
def test_a_port_in_use_is_named_with_the_way_out(option: str) -> None:
    ports = Ports.free()
    with socket.create_server(("127.0.0.1", getattr(ports, option))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            BadParameter, match=rf"port {port} of 127\.0\.0\.1 \(--{option}-port\) is in use.*--free-ports"
        ):
            ports.check_free()
    ports.check_free()


def test_other_ports_that_cannot_be_had() -> None:
    with pytest.raises(BadParameter, match="given twice"):
        Ports("127.0.0.1", 18000, 18000, 18002).check_free()
    for port in (0, -1, 65536):
        with pytest.raises(BadParameter, match=f"--http-port {port} is no port"):
            Ports("127.0.0.1", port, 18001, 18002).check_free()
    with pytest.raises(BadParameter, match=r"192\.0\.2\.1 is no address of this machine"):
        Ports("192.0.2.1", 18000, 18001, 18002).check_free()


def test_a_name_that_begins_like_loopback_is_not_it() -> None:
    """What such a name stands for decides whether the calls of an administrator are closed."""
    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("::")
    with pytest.raises(BadParameter):
        Access().options(["localhost.example.invalid"])


def test_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        assert is_listening(os.getpid(), port)
        assert not is_listening(os.getppid(), port)
    assert not is_listening(os.getpid(), port)
    assert not is_listening(2**22 + 1, port)
