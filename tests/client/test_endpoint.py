"""URLs, and what lets us in."""

from __future__ import annotations

from pathlib import Path

import pytest
from resnet50_client.cli import build_parser
from resnet50_client.commands.arguments import server_options
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


CONTEXT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("options", "inherited", "sent"),
    [
        ((), None, None),
        ((), CONTEXT, CONTEXT),
        (("--traceparent", CONTEXT), CONTEXT.replace("4bf9", "0000"), CONTEXT),
        (("--header", f"traceparent: {CONTEXT}"), CONTEXT.replace("4bf9", "0000"), CONTEXT),
        ((), "none", None),  # OpenTelemetry: what cannot be read counts as absent
        ((), CONTEXT.upper(), None),
    ],
)
def test_trace_context(
    options: tuple[str, ...], inherited: str | None, sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)
    if inherited:
        monkeypatch.setenv("TRACEPARENT", inherited)
    parsed = build_parser().parse_args(["classify", "a.jpg", *options])
    assert server_options(parsed)["access"].headers.get("traceparent") == sent


@pytest.mark.parametrize("wrong", ["", "00", f"ff{CONTEXT[2:]}", f"00-{32 * '0'}-00f067aa0ba902b7-01"])
def test_a_trace_context_that_is_none(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args(["classify", "a.jpg", "--traceparent", wrong])
    assert "must be version, trace, span and flags in hex, such as 00-1111" in capsys.readouterr().err
