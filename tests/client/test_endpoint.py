"""URLs, and what lets us in."""

from __future__ import annotations

from pathlib import Path

import pytest
from resnet50_client.endpoint import Access, Endpoint
from resnet50_client.errors import DatasetError


@pytest.mark.parametrize(
    ("url", "protocol", "expected"),
    [
        (None, None, "grpc://localhost:8001"),
        (None, "http", "http://localhost:8000"),
        ("card7", None, "grpc://card7:8001"),
        ("card7:9001", None, "grpc://card7:9001"),
        ("http://card7", None, "http://card7:8000"),
        ("http://card7:80/", "http", "http://card7:80"),
        ("https://gate/triton", None, "https://gate:443/triton"),
        ("grpcs://card7", "grpc", "grpcs://card7:8001"),
        ("[::1]:9001", None, "grpc://[::1]:9001"),
    ],
)
def test_urls(url: str | None, protocol: str | None, expected: str) -> None:
    assert str(Endpoint.parse(url, protocol)) == expected


@pytest.mark.parametrize(("url", "protocol"), [("http://card7", "grpc"), ("ftp://card7", None), (None, "tcp")])
def test_urls_that_make_no_sense(url: str | None, protocol: str | None) -> None:
    with pytest.raises(DatasetError, match="protocol"):
        Endpoint.parse(url, protocol)


def test_a_path_is_only_for_http() -> None:
    with pytest.raises(DatasetError, match="gRPC does not know"):
        Endpoint.parse("card7:8001/triton")


@pytest.mark.parametrize(
    ("url", "local"), [("localhost", True), ("127.0.0.2:1", True), ("[::1]:1", True), ("card7", False)]
)
def test_this_machine_is_known(url: str, local: bool) -> None:
    assert Endpoint.parse(url).is_local is local


def test_certificates_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(DatasetError, match="go together"):
        Access(certificate=tmp_path / "no.pem")
    with pytest.raises(DatasetError, match=r"gone.pem': no such file"):
        Access(ca=tmp_path / "gone.pem")
    with pytest.raises(DatasetError, match=r"cannot use the certificates in .*no.pem"):
        Access(ca=tmp_path / "no.pem").ssl_context()
