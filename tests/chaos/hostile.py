"""Senders that do what no client should: each a loop of one kind of misuse, whose every answer is counted.

A sender is a function that misuses the server once and says what came of it: the code of the error, "answered", or what
it did. An outcome that must not be starts with "BAD".
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc as triton
from fuzz.corpus import bombs
from resnet50_triton.server.process import Server
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, shared_memory

TIMEOUT_S = 60.0
PIXELS_SHAPE = (1, 224, 224, 3)
Sender = Callable[[random.Random], str]


class Hostile:
    """Threads that misuse a server until they are stopped; a context manager.

    Args:
        server: whom.
        jpeg: an honest picture, to be lied about.
        seed: of what is chosen.

    Attributes:
        counts: by kind of misuse, how often each came of it.
    """

    def __init__(self, server: Server, jpeg: bytes, seed: int = 1) -> None:
        self._server, self._jpeg, self._seed = server, jpeg, seed
        self._bombs = list(bombs().values())
        self.counts: dict[str, Counter[str]] = {}
        self._ended = threading.Event()
        senders: dict[str, Callable[[Any], Sender]] = {
            "lying length prefixes": self._lies,
            "costly images": self._costly_images,
            "classification of every output": self._classification,
            "cancelled requests": self._cancels,
            "deadlines and timeouts too short": self._deadlines,
            "connections broken off": self._disconnects,
            "wrong shapes, types and names": self._wrong_tensors,
            "shared memory misused": self._shared_memory,
        }
        self._threads = [threading.Thread(target=self._run, args=item) for item in senders.items()]

    def __enter__(self) -> Hostile:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, kind: str, make: Callable[[Any], contextlib.AbstractContextManager[Sender]]) -> None:
        counts = self.counts[kind] = Counter()
        order = random.Random(f"{self._seed} {kind}")
        with triton.InferenceServerClient(self._server.grpc_url) as client, make(client) as send:
            while not self._ended.is_set():
                try:
                    outcome = send(order)
                except InferenceServerException as error:
                    outcome = str(error.status()).rpartition(".")[2] or "UNKNOWN"
                except grpc.RpcError as error:
                    outcome = error.code().name
                counts[outcome] += 1
                self._ended.wait(order.expovariate(5.0))

    @contextlib.contextmanager
    def _lies(self, _: Any) -> Iterator[Sender]:
        jpeg, length = self._jpeg, len(self._jpeg)
        lies = (
            struct.pack("<I", length + 1) + jpeg,
            struct.pack("<I", 1 << 31) + jpeg,
            struct.pack("<I", length - 1) + jpeg,
            (struct.pack("<I", length) + jpeg) * 2,
            b"abc",
            b"",
        )
        with grpc.insecure_channel(self._server.grpc_url) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

            def send(order: random.Random) -> str:
                request = service_pb2.ModelInferRequest(model_name=order.choice(("classify", "preprocess")))
                request.inputs.add(name="IMAGE", datatype="BYTES", shape=[1, 1])
                request.raw_input_contents.append(order.choice(lies))
                stub.ModelInfer(request, timeout=TIMEOUT_S)
                return "BAD: answered"

            yield send

    @contextlib.contextmanager
    def _costly_images(self, client: Any) -> Iterator[Sender]:
        """Two for each of two workers in flight."""
        room = threading.Semaphore(4)
        counts = self.counts["costly images"]

        def done(result: Any, error: Any) -> None:  # noqa: ARG001 - called by these names
            counts[str(error.status()).rpartition(".")[2] if error else "answered"] += 1
            room.release()

        def send(order: random.Random) -> str:
            while not room.acquire(timeout=0.2):
                if self._ended.is_set():
                    return "not sent"
            client.async_infer("classify", [image(order.choice(self._bombs))], done)
            return "sent"

        yield send
        for _ in range(4):
            room.acquire(timeout=TIMEOUT_S)

    @contextlib.contextmanager
    def _classification(self, client: Any) -> Iterator[Sender]:
        outputs = [
            (model, output["name"])
            for model in ("resnet50", "classify", "preprocess")
            for output in client.get_model_metadata(model, as_json=True)["outputs"]
        ]

        def send(order: random.Random) -> str:
            model, output = order.choice(outputs)
            asked = triton.InferRequestedOutput(output, class_count=order.choice((1, 5, 1000, 1001, 2**31 - 1)))
            tensor = pixels() if model == "resnet50" else image(self._jpeg)
            client.infer(model, [tensor], outputs=[asked], client_timeout=TIMEOUT_S)
            return "answered"

        yield send

    @contextlib.contextmanager
    def _cancels(self, client: Any) -> Iterator[Sender]:
        def send(order: random.Random) -> str:
            count = order.choice((1, 4, 16))
            call = (
                client.async_infer("resnet50", [pixels(count)], _nothing)
                if order.random() < 0.5
                else client.async_infer("classify", [image(self._jpeg, count)], _nothing)
            )
            self._ended.wait(order.expovariate(50.0))
            call.cancel()
            return "cancelled"

        yield send

    @contextlib.contextmanager
    def _deadlines(self, client: Any) -> Iterator[Sender]:
        def send(order: random.Random) -> str:
            tensor, model = (pixels(8), "resnet50") if order.random() < 0.5 else (image(self._jpeg, 8), "classify")
            if order.random() < 0.5:
                client.infer(model, [tensor], client_timeout=order.uniform(0.001, 0.1))
            else:
                client.infer(model, [tensor], timeout=order.choice((1, 1000, 50_000)), client_timeout=TIMEOUT_S)
            return "answered"

        yield send

    @contextlib.contextmanager
    def _disconnects(self, _: Any) -> Iterator[Sender]:
        ports = self._server.ports
        head = (
            b"POST /v2/models/classify/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
            b"Inference-Header-Content-Length: 150\r\n\r\n"
        )

        def send(order: random.Random) -> str:
            if order.random() < 0.5:
                with socket.create_connection((ports.http_host or ports.host, ports.http), TIMEOUT_S) as connection:
                    connection.sendall(head[: order.randrange(1, len(head))] + bytes(order.randrange(1000)))
                return "HTTP broken off"
            with grpc.insecure_channel(self._server.grpc_url) as channel:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                request = service_pb2.ModelInferRequest(model_name="classify")
                request.inputs.add(name="IMAGE", datatype="BYTES", shape=[1, 1])
                request.raw_input_contents.append(struct.pack("<I", len(self._jpeg)) + self._jpeg)
                stub.ModelInfer.future(request)
                self._ended.wait(order.expovariate(100.0))
            return "gRPC broken off"

        yield send

    @contextlib.contextmanager
    def _wrong_tensors(self, _: Any) -> Iterator[Sender]:
        size = int(np.prod(PIXELS_SHAPE))
        none, many = [0, *PIXELS_SHAPE[1:]], [129, *PIXELS_SHAPE[1:]]
        shapes = ([1, 224, 224], none, many, [-1, 224, 224, 3], [1, 3, 224, 224], [1 << 62] * 4, [])
        with grpc.insecure_channel(self._server.grpc_url) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

            def send(order: random.Random) -> str:
                request = service_pb2.ModelInferRequest(model_name="resnet50")
                tensor = request.inputs.add(name="PIXELS", datatype="UINT8", shape=PIXELS_SHAPE)
                content = bytes(size)
                match order.randrange(8):
                    case 0:
                        del tensor.shape[:]
                        tensor.shape.extend(order.choice(shapes))
                    case 1:
                        tensor.datatype = order.choice(("UINT16", "BYTES", "FP32", "", "UINT9"))
                    case 2:
                        tensor.name = order.choice(("IMAGE", "", "x" * 10_000))
                    case 3:
                        content = bytes(order.choice((0, 1, size - 1, size + 1)))
                    case 4:
                        request.outputs.add(name=order.choice(("", "NONE", "PIXELS")))
                    case 5:
                        request.model_version = order.choice(("2", "-1", "x"))
                    case 6:
                        tensor.contents.uint_contents.extend([1, 2, 3])
                    case _:
                        request.inputs.add(name="PIXELS", datatype="UINT8", shape=PIXELS_SHAPE)
                request.raw_input_contents.append(content)
                stub.ModelInfer(request, timeout=TIMEOUT_S)
                return "BAD: answered"

            yield send

    @contextlib.contextmanager
    def _shared_memory(self, client: Any) -> Iterator[Sender]:
        """Regions that are too small, reached over, taken away while a request reads or writes them, or not there."""

        def send(order: random.Random) -> str:
            name, size = f"storm_{uuid.uuid4().hex}", int(np.prod(PIXELS_SHAPE))
            region = shared_memory.create_shared_memory_region(name, f"/{name}", size)
            try:
                misuse = order.randrange(4)
                registered = {0: size, 1: size, 2: 2 * size, 3: size}[misuse]
                client.register_system_shared_memory(name, f"/{name}" if misuse != 3 else "/../etc/passwd", registered)
                tensor = triton.InferInput("PIXELS", PIXELS_SHAPE, "UINT8")
                tensor.set_shared_memory(name, size, offset=order.choice((1, size, 2**62)) if misuse == 1 else 0)
                if misuse == 0:
                    call = client.async_infer("resnet50", [tensor], _nothing)
                    client.unregister_system_shared_memory(name)
                    call.cancel()
                    return "taken away"
                client.infer("resnet50", [tensor], client_timeout=TIMEOUT_S)
                return "answered"
            finally:
                with contextlib.suppress(InferenceServerException):
                    client.unregister_system_shared_memory(name)
                shared_memory.destroy_shared_memory_region(region)

        yield send


def image(data: bytes, count: int = 1) -> Any:
    """IMAGE of one picture, or the same several times."""
    tensor = triton.InferInput("IMAGE", [count, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[data]] * count, object))
    return tensor


def pixels(count: int = 1) -> Any:
    """PIXELS of black pictures."""
    tensor = triton.InferInput("PIXELS", [count, *PIXELS_SHAPE[1:]], "UINT8")
    tensor.set_data_from_numpy(np.zeros((count, *PIXELS_SHAPE[1:]), np.uint8))
    return tensor


def _nothing(result: Any, error: Any) -> None:
    """Of a request whose answer nobody waits for."""
