"""Traces of requests, which tritonserver sends to a collector by OpenTelemetry's protocol, OTLP over HTTP."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..errors import BadParameter

_PATH = "/v1/traces"  # where OTLP puts traces
_GRPC_PORT = 4317  # OTLP's other transport, which tritonserver does not speak
_EXAMPLE = "give it as http://HOST:4318, or with another path than /v1/traces"


def trace_options(url: str) -> list[str]:
    """Tritonserver's options that send the spans of every request to a collector.

    Args:
        url: http://HOST:PORT or https://HOST:PORT; a path is taken as it is, and without one it is OTLP's own.

    Raises:
        BadParameter: it is no such URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadParameter(f"--otlp '{url}' is no URL: {error}; {_EXAMPLE}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadParameter(f"--otlp '{url}' is not the http:// or https:// URL of a collector; {_EXAMPLE}")
    if parts.username or parts.query or parts.fragment or set(url) & set(" ,"):
        raise BadParameter(f"--otlp '{url}' has more than a host, a port and a path, or a comma or space; {_EXAMPLE}")
    if port == _GRPC_PORT:
        raise BadParameter(f"--otlp '{url}': port 4317 is for OTLP over gRPC, and tritonserver sends HTTP; {_EXAMPLE}")
    whole = url if parts.path.strip("/") else url.rstrip("/") + _PATH
    named = "opentelemetry,resource=service.name=resnet50-pynq"  # else Triton's own name, for every server alike
    settings = ("mode=opentelemetry", f"opentelemetry,url={whole}", named, "level=TIMESTAMPS", "rate=1")
    return [f"--trace-config={setting}" for setting in settings]
