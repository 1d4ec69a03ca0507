"""The addresses of a server: names resolved, IPv6 as each listener spells it, ports checked before the start."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import BadParameter

_LISTEN = "0A"  # state of a socket in /proc/net/tcp
_LAST_PORT = 65535


def resolve(host: str, option: str = "--host") -> str:
    """The address that a name stands for, IPv4 where there is a choice. Triton knows numbers only.

    Args:
        host: a name or an address; IPv6 with or without brackets.
        option: what the user gave it by.

    Raises:
        BadParameter: nothing has this name.
    """
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        if not name:
            raise OSError(0, "it is empty")
        found = [str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadParameter(
            f"{option} '{host}' cannot be resolved: {reason}; give an address of this machine, such as 127.0.0.1, ::1 "
            "or 0.0.0.0 (all)"
        ) from error
    address = next((each for each in found if ":" not in each), found[0])
    if "%" in name:
        raise BadParameter(f"{option} '{host}' is of one network interface; give an address without '%'")
    return address


def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine's own, which others do not reach."""
    return ipaddress.ip_address(resolve(host)).is_loopback


@dataclass(frozen=True)
class Ports:
    """Where the server listens, all on one address but for HTTP where it has one of its own."""

    host: str
    http: int
    grpc: int
    metrics: int
    http_host: str | None = None

    @classmethod
    def free(cls, host: str = "127.0.0.1") -> Ports:
        """Three ports that nothing uses at this moment. Raises BadParameter where the machine has no such address."""
        address = resolve(host)
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(_bound(address, 0, "--host")) for _ in range(3)]
            http, grpc, metrics = (s.getsockname()[1] for s in sockets)
        return cls(address, http, grpc, metrics)

    def resolved(self) -> Ports:
        """With numbers for names. Raises BadParameter."""
        http_host = self.http_host and resolve(self.http_host, "--http-host")
        return replace(self, host=resolve(self.host), http_host=http_host)

    def check_free(self) -> None:
        """Raise BadParameter where a port is in use, or cannot be had."""
        with contextlib.ExitStack() as stack:
            for host, port, option in (
                (self.http_host or self.host, self.http, "--http-port"),
                (self.host, self.grpc, "--grpc-port"),
                (self.host, self.metrics, "--metrics-port"),
            ):
                if not 0 < port <= _LAST_PORT:
                    raise BadParameter(f"{option} {port} is no port; they are from 1 to {_LAST_PORT}")
                stack.enter_context(_bound(host, port, option)).listen()

    @property
    def are_loopback(self) -> bool:
        """Whether only this machine reaches them."""
        return is_loopback(self.host) and is_loopback(self.http_host or self.host)

    @property
    def http_url(self) -> str:
        return url(self.http_host or self.host, self.http)

    @property
    def grpc_url(self) -> str:
        return url(self.host, self.grpc)

    @property
    def metrics_url(self) -> str:
        return url(self.host, self.metrics)

    def options(self) -> list[str]:
        """As tritonserver takes them: HTTP and metrics in one spelling of IPv6, gRPC in another."""
        return [
            f"--http-address={_evhtp(self.http_host or self.host)}",
            f"--http-port={self.http}",
            f"--grpc-address={_bracketed(self.host)}",
            f"--grpc-port={self.grpc}",
            f"--metrics-address={_evhtp(self.host)}",
            f"--metrics-port={self.metrics}",
        ]


def url(host: str, port: int) -> str:
    """host:port"""
    return f"{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _evhtp(host: str) -> str:
    return f"ipv6:{host}" if ":" in host else host


def _bound(host: str, port: int, option: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Triton: what has just been closed is free
        made.bind((host, port))
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            text = (
                f"port {port} of {host} ({option}) is in use, or given twice; name another, or take any: --free-ports"
            )
        elif error.errno == errno.EACCES:
            text = f"port {port} ({option}) is not for user {os.getuid()}; name one above 1023"
        else:
            text = f"{host} is no address of this machine ({error.strerror}); correct --host or --http-host"
        raise BadParameter(text) from error
    return made


def is_listening(pid: int, port: int) -> bool:
    """Whether a given process listens on a port; an answer alone does not say whose it is."""
    sockets = set()
    with contextlib.suppress(OSError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                sockets.add(str(fd.readlink()))
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), Path(f"/proc/{pid}/net/{table}").open() as lines:
            next(lines, None)
            for line in lines:
                _, local, _, state, *rest = line.split()
                is_here = state == _LISTEN and int(local.rpartition(":")[2], 16) == port
                if is_here and f"socket:[{rest[5]}]" in sockets:
                    return True
    return False
