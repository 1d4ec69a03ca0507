"""What is the server's fault is asked again, is never recorded as an answer, and is asked for again by --resume."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from client_support import FEW, Run, Start, wait_for_records
from fast import fast_class, make_images
from resnet50_client import Client, ServerUnavailable
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server

# Over HTTP Triton says 400 to UNKNOWN and CANCELLED, as it does to a bad image; there it is the words that tell.
FAULTS = ["INTERNAL", "UNKNOWN", "CANCELLED", "UNAVAILABLE", "NOT_FOUND"]


@pytest.mark.parametrize("code", FAULTS)
def test_a_fault_that_passes_is_never_seen(fast_url: str, code: str) -> None:
    images = [f"once {code} {fast_url} {i}".encode() for i in range(5)] + [b"good"]
    with Client(fast_url) as client:
        for prediction, image in zip(client.classify(images), images, strict=True):
            assert prediction.error is None
            assert prediction.class_ids[0] == fast_class(image)


def test_what_is_the_images_fault_is_not_asked_again(fast_url: str) -> None:
    with Client(fast_url) as client:
        (prediction,) = client.classify(b"bad image")
        assert (prediction.error, prediction.is_server_fault) == ("this image is bad", False)


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN"])
def test_a_fault_at_one_image_alone_does_not_end_the_others(fast_url: str, code: str) -> None:
    images = [f"fault {code} x".encode()] + [f"good {i}".encode() for i in range(400)]
    with Client(fast_url, concurrency=4, retry_s=0.3) as client:
        fault, *others = client.classify(images)
    assert fault.is_server_fault
    assert "Stub process 'resnet50_0_0' is not healthy. (gave up after 0.3 s)" in (fault.error or "")
    assert [prediction.class_ids[0] for prediction in others] == [fast_class(image) for image in images[1:]]


def test_a_server_that_fails_at_everything_is_unavailable(fast_url: str) -> None:
    with Client(fast_url, retry_s=0.3) as client, pytest.raises(ServerUnavailable, match=r"not healthy.*gave up"):
        client.classify([f"fault INTERNAL {i}".encode() for i in range(8)])


def test_a_run_counts_faults_apart_and_resume_asks_for_them(run: Run, fast_url: str, tmp_path: Path) -> None:
    folder, results = tmp_path / "val", tmp_path / "r.csv"
    labels = make_images(folder, 400)
    image = f"fault INTERNAL {fast_url}".encode()
    (folder / "00050.jpg").write_bytes(image)
    words = ["accuracy", folder, "--labels", labels, "--url", fast_url, "--outfile", results, "--concurrency", "2"]
    done = run(*words, "--json", "--retry-s", "0.3")
    summary = json.loads(done.stdout)
    assert done.returncode == 1
    assert (summary["server_faults"], len(summary["failed"]), summary["not_reached"]) == (1, 40, 0)
    assert summary["reason"] == "at 1 images the server failed (--resume asks for them again)"
    assert "00050.jpg" not in results.read_text()
    (folder / "00050.jpg").write_bytes(b"good now")
    summary = json.loads(run(*words, "--json", "--resume").stdout)
    assert (summary["server_faults"], summary["resumed"], summary["scored"]) == (0, 399, 320)
    assert len(results.read_text().splitlines()) == 401


@contextmanager
def gateway(server: Server, answer: Callable[[http.server.BaseHTTPRequestHandler], bool]) -> Iterator[str]:
    """An HTTP gateway before a server; `answer` may answer an inference in its own way, and says whether it has."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path.endswith("/infer") and answer(self):
                return
            upstream = http.client.HTTPConnection(server.http_url)
            upstream.request(self.command, self.path, body, dict(self.headers))
            reply = upstream.getresponse()
            data = reply.read()
            self.send_response(reply.status)
            for name in ("Content-Type", "Content-Encoding", "Inference-Header-Content-Length"):
                if name in reply.headers:
                    self.send_header(name, reply.headers[name])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = handle_any  # noqa: N815 - the names are http.server's
        do_POST = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            thread.join()


def reply(status: int, body: bytes, **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", headers.pop("length", str(len(body))))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def reset(handler: http.server.BaseHTTPRequestHandler) -> None:
    """End the connection without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


def cut(handler: http.server.BaseHTTPRequestHandler) -> None:
    """End the connection in the midst of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "4000")
    handler.end_headers()
    handler.wfile.write(b"{")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "trouble",
    [
        reply(502, b"<html>Bad Gateway</html>"),
        reply(503, b""),
        reply(500, b"<html>Internal Server Error</html>"),
        reply(429, b"slow down"),
        reply(408, b"request timeout"),
        reply(200, b"<html>we will be back</html>"),
        reply(200, b""),
        reply(200, b'{"outputs": []}'),
        reply(200, b'{"model_name": "classify"}'),
        reply(200, b"{}", Inference_Header_Content_Length="5000"),
        reset,
        cut,
    ],
    ids=["502", "503", "500", "429", "408", "html", "empty", "no outputs", "no list", "lying header", "reset", "cut"],
)
def test_what_gateways_do_is_no_answer(
    fast_server: Server, trouble: Callable[[http.server.BaseHTTPRequestHandler], None]
) -> None:
    left = [3]
    lock = threading.Lock()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> bool:
        with lock:
            left[0] -= 1
            if left[0] < 0 or not ready.is_set():
                left[0] += not ready.is_set()
                return False
        trouble(handler)
        handler.close_connection = True
        return True

    ready = threading.Event()
    images = [f"image {i}".encode() for i in range(8)]
    with gateway(fast_server, answer) as url, Client(url) as client:
        ready.set()
        predictions = client.classify(images)
    assert left[0] < 0
    assert [(p.error, p.class_ids[:1]) for p in predictions] == [(None, (fast_class(image),)) for image in images]


def test_a_stub_that_was_stopped_costs_no_image(
    start: Start, restartable: Callable[[], Server], few: list[Any], tmp_path: Path
) -> None:
    """As a machine that swaps stops it: Triton says "Stub process ... is not healthy", and ends when it goes on."""
    server = restartable()
    (stub,) = psutil.Process(server.process.pid).children()
    process = start(*few, "--url", server.grpc_url)
    wait_for_records(tmp_path / "r.sqlite", 20, process)
    os.kill(stub.pid, signal.SIGSTOP)
    time.sleep(4.0)  # the fault itself: so long it is stopped
    os.kill(stub.pid, signal.SIGCONT)
    while process.poll() is None and server.process.poll() is None:
        time.sleep(0.05)
    if process.poll() is None:
        server.stop()
        restartable()
    output, errors = process.communicate(timeout=120)
    assert errors == ""
    summary = json.loads(output)
    assert {entry["error"] for entry in summary["failed"]} == {"this image is bad"}
    assert (len(summary["failed"]), summary["scored"], summary["server_faults"]) == (FEW // 10, FEW * 8 // 10, 0)
