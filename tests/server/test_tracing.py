"""What `--otlp` makes of a URL."""

from __future__ import annotations

import pytest
from resnet50_triton.errors import BadParameter
from resnet50_triton.server.tracing import trace_options


@pytest.mark.parametrize(
    ("url", "sent_to"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://[::1]:4318/", "http://[::1]:4318/v1/traces"),
        ("https://otlp.example.com/team/v1/traces", "https://otlp.example.com/team/v1/traces"),
    ],
)
def test_urls(url: str, sent_to: str) -> None:
    assert f"--trace-config=opentelemetry,url={sent_to}" in trace_options(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("collector:4318", "is not the http:// or https:// URL of a collector; give it as http://HOST:4318"),
        ("http://", "is not the http:// or https://"),
        ("grpc://collector:4317", "is not the http:// or https://"),
        ("http://collector:4317", "port 4317 is for OTLP over gRPC"),
        ("http://collector:port", "is no URL"),
        ("http://[::1", "is no URL"),
        ("http://me@collector:4318", "more than a host, a port and a path"),
        ("http://collector:4318/v1/traces?key=1", "more than a host, a port and a path"),
        ("http://collector:4318/a,rate=1", "a comma or space"),
        ("", "is not the http:// or https://"),
    ],
)
def test_refused(url: str, message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        trace_options(url)
