"""What a client may send to the real server, and how little it does: an answer that says no, and the next one is right.

Images are in test_preprocess.py; what the bundled server does not withstand is at the end.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
import tritonclient.grpc
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.server

INFER = "/v2/models/resnet50/infer"
PIXELS = {"name": "PIXELS", "datatype": "UINT8", "shape": [1, 224, 224, 3]}
DEEP = b"[" * 50_000
MALFORMED = {
    "nothing": (b"", {}),
    "no JSON": (b"\x00\xff{", {}),
    "deep JSON": (b'{"inputs":' + DEEP, {}),
    "no inputs": (b"{}", {}),
    "inputs of another kind": (b'{"inputs":[1,"a",null]}', {}),
    "no such input": (json.dumps({"inputs": [{**PIXELS, "name": "x", "data": [1]}]}).encode(), {}),
    "no such type": (json.dumps({"inputs": [{**PIXELS, "datatype": "UINT9", "data": [1]}]}).encode(), {}),
    "too few data": (json.dumps({"inputs": [{**PIXELS, "data": [1, 2, 3]}]}).encode(), {}),
    "numbers out of range": (json.dumps({"inputs": [{**PIXELS, "data": [1e300] * 150528}]}).encode(), {}),
    "a header longer than the body": (b"{}", {"Inference-Header-Content-Length": "1000000000"}),
    "a header of negative length": (b"{}", {"Inference-Header-Content-Length": "-1"}),
    "a header's length that is no number": (b"{}", {"Inference-Header-Content-Length": "many"}),
}
SHAPES = ([1 << 40, 224, 224, 3], [1, 1 << 31, 1 << 31, 3], [-1, 224, 224, 3], [0, 224, 224, 3], [1 << 62] * 4, [])
SIZES = (1 << 62, 1 << 31, -1, 0)


@pytest.fixture(autouse=True)
def still_serves(server: Server, right: Any) -> Iterator[None]:
    """After each test the same server answers rightly."""
    pid = server.process.pid
    yield
    assert server.process.poll() is None
    assert server.process.pid == pid
    assert np.array_equal(ask(server), right)


@pytest.fixture(scope="module")
def right(server: Server) -> Any:
    return ask(server)


def tensor() -> Any:
    made = tritonclient.grpc.InferInput("PIXELS", [1, 224, 224, 3], "UINT8")
    made.set_data_from_numpy(np.full((1, 224, 224, 3), 128, np.uint8))
    return made


def ask(server: Server, **options: Any) -> Any:
    """LOGITS of a grey picture."""
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        return client.infer("resnet50", [tensor()], client_timeout=30, **options).as_numpy("LOGITS")


def post(server: Server, body: bytes, headers: dict[str, str] | None = None) -> int:
    """The status of an answer over HTTP."""
    connection = http.client.HTTPConnection(server.http_url, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", INFER, body, headers or {})
        return connection.getresponse().status


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_json(server: Server, case: str) -> None:
    assert 400 <= post(server, *MALFORMED[case]) <= 500


def test_shapes_and_sizes_that_are_not_so(server: Server) -> None:
    for shape in SHAPES:
        lie = {"inputs": [{**PIXELS, "shape": shape, "parameters": {"binary_data_size": 3}}]}
        head = json.dumps(lie).encode()
        assert 400 <= post(server, head + b"abc", {"Inference-Header-Content-Length": str(len(head))}) <= 500, shape
    for size in SIZES:
        head = json.dumps({"inputs": [{**PIXELS, "parameters": {"binary_data_size": size}}]}).encode()
        assert 400 <= post(server, head + b"abc", {"Inference-Header-Content-Length": str(len(head))}) <= 500, size


def test_malformed_protobuf(server: Server) -> None:
    rng = np.random.default_rng(1)
    with grpc.insecure_channel(server.grpc_url) as channel:
        for call in ("ModelInfer", "ModelConfig", "SystemSharedMemoryRegister", "NoSuchCall"):
            ask_raw = channel.unary_unary(f"/inference.GRPCInferenceService/{call}")
            for junk in (b"", b"\x0a\xff\xff\xff\xff\x0f", *(rng.bytes(n) for n in (1, 10, 1000, 100_000))):
                with pytest.raises(grpc.RpcError):
                    ask_raw(junk, timeout=20)


@pytest.mark.parametrize("timeout_us", [(1 << 63) - 1, 1 << 62, 0, -1])
def test_absurd_timeouts(server: Server, timeout_us: int, right: Any) -> None:
    assert np.array_equal(ask(server, timeout=timeout_us), right)


def test_connections_that_never_finish(server: Server, right: Any) -> None:
    """Hundreds that begin a request and stop: the next client does not wait for them."""
    half = {
        server.ports.http: f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode(),
        server.ports.grpc: b"PRI * HTTP/2.0\r\n",
    }
    with contextlib.ExitStack() as stack:
        for port, begin in half.items():
            for _ in range(200):
                connection = stack.enter_context(socket.create_connection((server.ports.host, port)))
                connection.sendall(begin)
        begin_s = time.monotonic()
        assert server.is_ready()
        assert np.array_equal(ask(server), right)
        assert time.monotonic() - begin_s < 10


def test_shared_memory_is_named_not_reached_for(server: Server, tmp_path: Path) -> None:
    """A region's key is a name in /dev/shm, never a way out of it."""
    (tmp_path / "file").write_bytes(bytes(100))
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        for key in (f"/../..{tmp_path}/file", "/../../etc/passwd", "../../etc/passwd", "/none", "", "/", "x" * 5000):
            with pytest.raises(InferenceServerException):
                client.register_system_shared_memory("stolen", key, 64)


# What the bundled server (2.51) does not withstand; docs/security.md says what to put before it.


@pytest.mark.long
def test_weakness_a_body_in_very_many_pieces_ends_the_server(sample: Path, tmp_path: Path) -> None:
    with Server(Deployment.of_sample(sample).make_repository(tmp_path / "models")) as server:
        server.wait_ready()
        head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        with socket.create_connection((server.ports.host, server.ports.http), timeout=60) as connection:
            connection.sendall(head + b"1\r\nA\r\n" * 800_000 + b"0\r\n\r\n")
            assert connection.recv(100) == b""
        assert server.process.wait(10) != 0


@pytest.mark.long
def test_weakness_deep_json_ends_the_server(sample: Path, tmp_path: Path) -> None:
    with Server(Deployment.of_sample(sample).make_repository(tmp_path / "models")) as server:
        server.wait_ready()
        with pytest.raises(http.client.RemoteDisconnected):
            post(server, b'{"inputs":' + b"[" * 500_000)
        assert server.process.wait(10) != 0


@pytest.mark.long
def test_weakness_compressed_requests_are_unpacked_whatever_their_size(server: Server) -> None:
    bomb = gzip.compress(bytes(300 << 20))
    assert len(bomb) < 1 << 20
    process, ended, peak = psutil.Process(server.process.pid), threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss)

    before = process.memory_info().rss
    thread = threading.Thread(target=watch)
    thread.start()
    post(server, bomb, {"Content-Encoding": "gzip", "Inference-Header-Content-Length": "10"})
    ended.set()
    thread.join()
    assert peak[0] - before > 250 << 20


def test_weakness_the_models_own_memory_can_be_registered(server: Server) -> None:
    """Whoever may register regions and learns the name of a model's own can write into it: hence the key."""
    own = next(path.name for path in Path("/dev/shm").glob(f"{server.scratch.shm_prefix}*"))
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        client.register_system_shared_memory("own", f"/{own}", 64)
        client.unregister_system_shared_memory("own")


@pytest.mark.long
def test_weakness_a_region_that_is_cut_short_ends_the_server(sample: Path, tmp_path: Path) -> None:
    size_bytes = 224 * 224 * 3
    with Server(Deployment.of_sample(sample).make_repository(tmp_path / "models")) as server:
        server.wait_ready()
        region = Path("/dev/shm") / f"resnet50_cut_{server.ports.grpc}"
        region.write_bytes(bytes(size_bytes))
        try:
            with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
                client.register_system_shared_memory("cut", f"/{region.name}", size_bytes)
                os.truncate(region, 0)
                tensor = tritonclient.grpc.InferInput("PIXELS", PIXELS["shape"], "UINT8")
                tensor.set_shared_memory("cut", size_bytes)
                with pytest.raises(InferenceServerException):
                    client.infer("resnet50", [tensor], client_timeout=60)
        finally:
            region.unlink()
        assert server.process.wait(10) != 0


@pytest.mark.parametrize("images", [0, 1])  # whose bytes come with it
def test_a_request_of_no_images_fails_alone(server: Server, images: int) -> None:
    """The Python backend counts it as 224 images; in a dynamic batch it would fail all others."""
    failed: dict[str, list[str]] = {"good": [], "none": []}
    answered = threading.Semaphore(0)

    def ask(name: str, tensor: Any) -> None:
        def done(result: Any, error: Any) -> None:  # noqa: ARG001 - called by these names
            if error:
                failed[name].append(error.message())
            answered.release()

        client.async_infer("resnet50", [tensor], done)

    def tensor(count: int) -> Any:
        made = tritonclient.grpc.InferInput("PIXELS", [count, 224, 224, 3], "UINT8")
        made.set_data_from_numpy(np.zeros((count, 224, 224, 3), np.uint8))
        return made

    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        good, none = tensor(1), tensor(images)
        none.set_shape([0, 224, 224, 3])
        for _ in range(50):
            for name in ("good", "good", "none", "good", "good"):
                ask(name, none if name == "none" else good)
            for _ in range(5):
                assert answered.acquire(timeout=60)
    assert failed["good"] == []
    assert len(failed["none"]) == 50


@pytest.mark.parametrize("kind", ["id", "parameter"])
def test_a_request_with_a_huge_id_or_parameter_is_not_batched(server: Server, kind: str, right: Any) -> None:
    """The Python backend copies both into /dev/shm, and fails the whole batch where that is full."""
    text = 100_000 * "x"
    request = {"request_id": text} if kind == "id" else {"parameters": {"note": text}}
    with pytest.raises(InferenceServerException) as refused:
        ask(server, **request)
    assert refused.value.status() == "StatusCode.CANCELLED"
    assert np.array_equal(ask(server, request_id=text[:1000], parameters={"note": text[:1000], "n": 1}), right)
