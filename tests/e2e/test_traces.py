"""`serve --otlp` and `resnet50-client --traceparent`, with a collector on loopback."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.server
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@contextmanager
def collector(received: list[tuple[str, str, bytes]]) -> Iterator[str]:
    """One that keeps path, content type and body of what is sent to it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, self.headers["Content-Type"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def spans(received: list[tuple[str, str, bytes]]) -> dict[str, Any]:
    """What was sent, by name."""
    found = {}
    for _, kind, body in received:
        assert kind == "application/json", kind
        for resource in json.loads(body)["resourceSpans"]:
            attributes = {each["key"]: each["value"] for each in resource["resource"]["attributes"]}
            assert attributes["service.name"] == {"stringValue": "resnet50-pynq"}
            for scope in resource["scopeSpans"]:
                found |= {span["name"]: span for span in scope["spans"]}
    return found


def serve(sample: Path, url: str, *options: str, traceparent: str | None = None) -> subprocess.CompletedProcess[str]:
    """Serve, classify one image, and end."""
    image = next((sample / "images").glob("*.JPEG"))
    command = [sys.executable, "-m", "resnet50_triton.cli", "serve", "--sample", sample, "--free-ports", "--otlp", url]
    client = [sys.executable, "-m", "resnet50_client.cli", "classify", image, "--url", "{grpc}", *options]
    environment = {name: value for name, value in os.environ.items() if name != "TRACEPARENT"}
    environment |= {"TRACEPARENT": traceparent} if traceparent else {}
    return subprocess.run([*command, "--", *client], capture_output=True, text=True, timeout=300, env=environment)


def test_a_request_leaves_spans_below_the_callers(sample: Path) -> None:
    received: list[tuple[str, str, bytes]] = []
    with collector(received) as url:
        done = serve(sample, url, "--traceparent", f"00-{TRACE}-{PARENT}-01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path for path, _, _ in received} == {"/v1/traces"}
    found = spans(received)
    assert {"InferRequest", "classify", "preprocess", "resnet50"} <= set(found)
    assert {span["traceId"] for span in found.values()} == {TRACE}
    assert found["InferRequest"]["parentSpanId"] == PARENT
    assert found["preprocess"]["parentSpanId"] == found["resnet50"]["parentSpanId"] == found["classify"]["spanId"]


def test_a_collector_that_is_not_there_costs_no_request(sample: Path) -> None:
    """And what the environment has for a trace context is no reason to stop, whatever it is."""
    done = serve(sample, "http://127.0.0.1:9", traceparent="none")
    assert done.returncode == 0, done.stdout + done.stderr
