"""Pictures to the server, one way or another: what LoadGen calls the system under test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tritonclient.grpc as grpc
from resnet50_client import AsyncClient, find_images
from resnet50_client.pixels import decode_pixels

# Called with the queries' ids and the class of each, or with the error that all had. On any thread.
Done = Callable[[Sequence[int], Sequence[int], "str | None"], None]
BATCH = 32  # images a request, where LoadGen hands over many at once
IN_FLIGHT = 8  # such requests


class Sender(Protocol):
    """Something that classifies the pictures of a folder."""

    def send(self, ids: Sequence[int], pictures: Sequence[int], done: Done) -> None:
        """Begin to classify pictures, named by their place in the folder; each id is answered by `done` once."""

    def close(self) -> None:
        """End; nothing is in flight any more."""


class PixelSender:
    """Pixels, decoded beforehand, to `resnet50` by NVIDIA's client: MLPerf does not count preprocessing."""

    def __init__(self, url: str, folder: Path) -> None:
        self._pixels = np.stack([decode_pixels(item.read()) for item in find_images([folder]).items])
        self._client = grpc.InferenceServerClient(url)
        self._outputs = [grpc.InferRequestedOutput("LOGITS")]
        self._room = threading.Semaphore(IN_FLIGHT)

    def send(self, ids: Sequence[int], pictures: Sequence[int], done: Done) -> None:
        if len(ids) == 1:  # when to send it is LoadGen's business
            self._request(ids, pictures, done)
            return
        for first in range(0, len(ids), BATCH):
            part = slice(first, first + BATCH)
            self._room.acquire()

            def answered(*answer: Any) -> None:
                self._room.release()
                done(*answer)

            self._request(ids[part], pictures[part], answered)

    def _request(self, ids: Sequence[int], pictures: Sequence[int], done: Done) -> None:
        tensor = grpc.InferInput("PIXELS", [len(ids), *self._pixels.shape[1:]], "UINT8")
        tensor.set_data_from_numpy(self._pixels[list(pictures)])

        def answered(result: Any, error: Any) -> None:
            if error:
                done(ids, [-1] * len(ids), str(error))
            else:
                done(ids, np.argmax(result.as_numpy("LOGITS"), axis=1).tolist(), None)

        self._client.async_infer("resnet50", [tensor], answered, outputs=self._outputs)

    def close(self) -> None:
        self._client.close()


class JpegSender:
    """JPEGs to `classify` by this project's client: decoding and all counts."""

    def __init__(self, url: str, folder: Path) -> None:
        self._files = [item.read() for item in find_images([folder]).items]
        self._client = AsyncClient(url, top=1, retry_s=0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._client.__aenter__())

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def send(self, ids: Sequence[int], pictures: Sequence[int], done: Done) -> None:
        asyncio.run_coroutine_threadsafe(self._classify(ids, pictures, done), self._loop)

    async def _classify(self, ids: Sequence[int], pictures: Sequence[int], done: Done) -> None:
        number = 0
        try:
            async for prediction in self._client.stream(self._files[picture] for picture in pictures):
                found = [-1] if prediction.error else prediction.class_ids[:1]
                done(ids[number : number + 1], found, prediction.error)
                number += 1
        except Exception as error:  # else LoadGen would wait for ever
            done(ids[number:], [-1] * (len(ids) - number), str(error) or repr(error))

    def close(self) -> None:
        self._run(self._client.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


SENDERS: dict[str, Callable[[str, Path], Sender]] = {"pixels": PixelSender, "jpeg": JpegSender}
