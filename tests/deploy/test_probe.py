"""The chart's probe, against the real server and through the death of a model's process."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from deploy_support import DEPLOY, ROOT, container, needs_tools, render
from resnet50_triton.server.process import Ports, Server

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
SERVING = b"\x08\x01"
PROBE = DEPLOY / "docker" / "resnet50-ready"


def probe(http_url: str, metrics_url: str) -> subprocess.CompletedProcess[str]:
    """Run it as the kubelet does."""
    return subprocess.run([PROBE, http_url, metrics_url], capture_output=True, text=True, timeout=10, check=False)


@pytest.mark.server
def test_a_server_that_works_is_ready(server: Server) -> None:
    _wait(server.ports, True, 60)  # the model's metrics appear within a second or two
    done = probe(server.http_url, server.metrics_url)
    assert (done.returncode, done.stderr) == (0, "")
    other = probe(server.grpc_url, server.metrics_url)  # nobody speaks HTTP there
    assert other.returncode != 0


@contextlib.contextmanager
def stand_in(ready: int, metrics: str) -> Iterator[str]:
    """A server that says whether the model is ready, and how many cards work."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = metrics.encode() if self.path == "/metrics" else b""
            self.send_response(200 if self.path == "/metrics" else ready)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.mark.parametrize(
    ("ready", "metrics", "works", "words"),
    [
        (200, 'resnet50_cards_ready{model="resnet50",version="1"} 2', True, ""),
        (200, 'resnet50_cards_ready{model="resnet50",version="1"} 0', False, "no card works"),
        (200, 'resnet50_cards_ready_since{model="resnet50"} 1', False, "no metric resnet50_cards_ready"),
        (400, 'resnet50_cards_ready{model="resnet50",version="1"} 2', False, "400"),
    ],
)
def test_without_a_working_card_it_is_not_ready(ready: int, metrics: str, works: bool, words: str) -> None:
    with stand_in(ready, metrics + "\n") as url:
        done = probe(url, url)
    assert (done.returncode == 0) == works
    assert words in done.stderr


@pytest.mark.server
def test_grpc_health(server: Server) -> None:
    """The standard service, as gRPC probes ask it; the messages are so small that they are written out here."""
    with grpc.insecure_channel(server.grpc_url) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=60) == SERVING
        assert check(b"\x0a\x04none", timeout=60) == SERVING  # Triton answers for the server, whatever is asked for


def _wait(ports: Ports, works: bool, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while (probe(f"127.0.0.1:{ports.http}", f"127.0.0.1:{ports.metrics}").returncode == 0) != works:
        assert time.monotonic() < deadline_s, f"after {timeout_s} s the probe does not say {works}"
        time.sleep(0.1)


@needs_tools
@pytest.mark.server
def test_a_dead_model_process_shows(sample: Path, tmp_path: Path) -> None:
    """With the chart's own arguments: what the kubelet would see. Bare Triton would go on saying that it is ready."""
    documents = render("--set", "image.repository=x")
    assert container(documents)["readinessProbe"]["exec"]["command"][0] == PROBE.name
    words = [word.replace("/opt/resnet50-pynq/sample", str(sample)) for word in container(documents)["args"]]
    # Free ports of this machine in the place of the pod's, and no address that others reach.
    ports = Ports.free()
    words += ["--host=127.0.0.1", f"--http-port={ports.http}", f"--grpc-port={ports.grpc}"]
    command = [sys.executable, "-m", "resnet50_triton.cli", *words, f"--metrics-port={ports.metrics}"]
    with (tmp_path / "log").open("wb") as log:
        serve = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
    try:
        _wait(ports, True, 300)
        family = psutil.Process(serve.pid).children(recursive=True)
        stub = next(process for process in family if any("resnet50_0_0" in word for word in process.cmdline()))
        stub.kill()
        _wait(ports, False, 60)  # and to the kubelet at its next look; how long until it works again: docs/faults.md
    finally:
        serve.terminate()
        serve.wait(60)
    output = (tmp_path / "log").read_text()
    assert "a model's process died: the server is started again" in output
    assert "Started GRPCInferenceService" in output  # Triton's own words are in the pod's log
