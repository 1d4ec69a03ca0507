"""Load for measurements: requests of pixels kept in flight, over gRPC or shared memory."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import numpy as np
import tritonclient.grpc as grpc
from numpy.typing import NDArray
from tritonclient.utils import shared_memory


class Load:
    """Requests of equal size; every answer is compared with the right one.

    Args:
        url: of the server, gRPC.
        pixels: uint8 (N, 224, 224, 3): one request.
        expected: float32 (N, 1000), their logits.
        shared: pixels through system shared memory.
    """

    def __init__(self, url: str, pixels: NDArray[np.uint8], expected: NDArray[np.float32], shared: bool) -> None:
        self.images = len(pixels)
        self._expected = expected
        self._client = grpc.InferenceServerClient(url)
        self._input = grpc.InferInput("PIXELS", list(pixels.shape), "UINT8")
        self._output = [grpc.InferRequestedOutput("LOGITS")]
        self._region: tuple[str, Any] | None = None
        if shared:
            name = f"resnet50_bench_{uuid4().hex[:8]}"
            handle = shared_memory.create_shared_memory_region(name, f"/{name}", pixels.nbytes)
            self._region = name, handle
            shared_memory.set_shared_memory_region(handle, [pixels])
            self._client.register_system_shared_memory(name, f"/{name}", pixels.nbytes)
            self._input.set_shared_memory(name, pixels.nbytes)
        else:
            self._input.set_data_from_numpy(pixels)

    def one(self) -> float:
        """Send a request and wait for the answer; the seconds it took."""
        begin_s = time.perf_counter()
        self._check(self._client.infer("resnet50", [self._input], outputs=self._output))
        return time.perf_counter() - begin_s

    def many(self, seconds: float, in_flight: int) -> float:
        """Keep requests in flight for some time; the images a second that were answered."""
        answers: queue.Queue[Any] = queue.Queue()
        for _ in range(in_flight):
            self._send(answers)
        self._take(answers)  # the pipeline is full from here on
        self._send(answers)
        begin_s = time.perf_counter()
        requests = 0
        while time.perf_counter() - begin_s < seconds:
            self._take(answers)
            requests += 1
            self._send(answers)
        elapsed_s = time.perf_counter() - begin_s
        for _ in range(in_flight):
            self._take(answers)
        return requests * self.images / elapsed_s

    def together(self, requests: int) -> float:
        """Send so many requests at once; the seconds until all are answered."""
        answers: queue.Queue[Any] = queue.Queue()
        begin_s = time.perf_counter()
        for _ in range(requests):
            self._send(answers)
        for _ in range(requests):
            self._take(answers)
        return time.perf_counter() - begin_s

    def _send(self, answers: queue.Queue[Any]) -> None:
        self._client.async_infer(
            "resnet50", [self._input], lambda result, error: answers.put((result, error)), outputs=self._output
        )

    def _take(self, answers: queue.Queue[Any]) -> None:
        result, error = answers.get(timeout=120)
        if error is not None:
            raise error
        self._check(result)

    def _check(self, result: Any) -> None:
        if not np.array_equal(result.as_numpy("LOGITS"), self._expected):
            raise ValueError("the server answered something else than the kernel")

    def close(self) -> None:
        """Leave nothing in shared memory."""
        if self._region is not None:
            self._client.unregister_system_shared_memory(self._region[0])
            shared_memory.destroy_shared_memory_region(self._region[1])
        self._client.close()


@contextmanager
def load(url: str, pixels: NDArray[np.uint8], expected: NDArray[np.float32], shared: bool) -> Iterator[Load]:
    """A Load that is closed."""
    made = Load(url, pixels, expected, shared)
    try:
        yield made
    finally:
        made.close()
