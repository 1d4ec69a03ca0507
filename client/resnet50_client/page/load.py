"""Load on the server: one picture, again and again, so many at a time, with what came of it in the last seconds."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import TracebackType

import numpy as np

from resnet50_client.errors import ClientError
from resnet50_client.page.link import Link

WINDOW_S = 2.0  # the time that rate and latency are of
REST_S = 0.5  # after an answer that was an error, before the next request


class Load:
    """Requests in flight until it is left: `async with Load(...) as load`."""

    def __init__(self, link: Link, picture: bytes, concurrency: int) -> None:
        """Prepare.

        Args:
            link: to the server.
            picture: an encoded image.
            concurrency: requests in flight.
        """
        self._link, self._picture, self._concurrency = link, picture, concurrency
        self._answers: deque[tuple[float, float]] = deque()  # when each came, and its latency; of the window
        self._error: str | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._began = 0.0

    async def __aenter__(self) -> Load:
        self._began = time.perf_counter()
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def figures(self) -> dict[str, float | str | None]:
        """Of the last WINDOW_S seconds: images a second, latencies in ms, and the last error since the last answer."""
        now = time.perf_counter()
        while self._answers and self._answers[0][0] < now - WINDOW_S:
            self._answers.popleft()
        window_s = min(WINDOW_S, max(now - self._began, 1e-3))
        latencies_ms = [1e3 * latency_s for _, latency_s in self._answers]
        p50, p99 = np.percentile(latencies_ms, (50, 99)).tolist() if latencies_ms else (None, None)
        return {"images_s": len(latencies_ms) / window_s, "p50_ms": p50, "p99_ms": p99, "error": self._error}

    async def _work(self) -> None:
        while True:
            began = time.perf_counter()
            try:
                async with self._link.client() as client:
                    (prediction,) = await client.classify([self._picture])
                self._error = prediction.error
            except ClientError as error:
                self._error = str(error)
            if self._error is None:
                now = time.perf_counter()
                self._answers.append((now, now - began))
            else:
                await asyncio.sleep(REST_S)
