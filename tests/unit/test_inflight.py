"""Waiting for the card, against a small metrics server that really answers."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator

import pytest
from resnet50_triton.triton.inflight import ENVIRONMENT, CardQueue

METRICS = """\
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{{model="preprocess",version="1"}} 900
nv_inference_pending_request_count{{model="resnet50",version="1"}} {}
"""


class Metrics(http.server.BaseHTTPRequestHandler):
    pending = 0
    looks = 0

    def do_GET(self) -> None:
        type(self).looks += 1
        body = METRICS.format(self.pending).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Metrics]]:
    class Fresh(Metrics):
        pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fresh) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv(ENVIRONMENT, f"127.0.0.1:{server.server_port}")
        yield Fresh
        server.shutdown()


def no_warning(text: str) -> None:
    raise AssertionError(text)


def test_looks_only_when_the_limit_could_be_reached(metrics: type[Metrics]) -> None:
    queue = CardQueue(10, no_warning)
    for _ in range(10):
        queue.wait_for_room()
    assert metrics.looks == 0
    queue.wait_for_room()
    assert metrics.looks == 1


def test_waits_until_the_card_has_room(metrics: type[Metrics]) -> None:
    metrics.pending = 10
    queue = CardQueue(10, no_warning)
    for _ in range(10):
        queue.wait_for_room()  # it has sent nothing yet
    passed = threading.Event()
    waiting = threading.Thread(target=lambda: (queue.wait_for_room(), passed.set()))
    waiting.start()
    assert not passed.wait(0.3)
    metrics.pending = 9
    assert passed.wait(10)
    waiting.join()


def test_no_limit_never_looks(metrics: type[Metrics]) -> None:
    queue = CardQueue(0, no_warning)
    for _ in range(1000):
        queue.wait_for_room()
    assert metrics.looks == 0


@pytest.mark.parametrize("answer", ["nobody", "another model"])
def test_without_metrics_it_warns_once_and_holds_nothing_back(
    answer: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    if answer == "nobody":
        monkeypatch.setenv(ENVIRONMENT, "127.0.0.1:1")
    else:
        request.getfixturevalue("metrics")
    queue = CardQueue(10, warnings.append, model="another")
    start = time.monotonic()
    for _ in range(5000):
        queue.wait_for_room()
    assert time.monotonic() - start < 5
    assert len(warnings) == 1
    assert "max_inflight_requests" in warnings[0]
