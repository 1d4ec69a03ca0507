"""Requests of encoded images, decoded on a fixed number of threads, none of which an image holds for long.

submit ──► normal lane ── header over the limits: refused at once
           (threads)  ├─ small, plain JPEG: decoded here, by libjpeg-turbo, in some milliseconds
                      ├─ another small image: in a helper process, which has TIME_SLICE_S
                      └─ large, or not done in that time ──► large lane (as many threads, each with a helper, which
                                                           is killed at max_decode_s)
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from ..errors import BadImage
from ..tensors import PIXELS_SHAPE
from .header import ImageHeader, read_header
from .helper import Helper, TookTooLong, prepare
from .image import decode_known
from .options import DecodeOptions

# In pixels of a JPEG with one scan (ImageHeader.work): a phone's photo of 12 megapixels is just within.
NORMAL_WORK = 12_500_000
TIME_SLICE_S = 0.25
# Large images get about a third of a core where others want it too.
LARGE_NICENESS = 5


class _Job:
    """The images of one request; `future` has their pixels, uint8 (N, 224, 224, 3), or the first image's error."""

    def __init__(self, images: Sequence[bytes], may_start: Callable[[], None]) -> None:
        self.images = images
        self.pixels: NDArray[np.uint8]
        self.future: Future[NDArray[np.uint8]] = Future()
        self._may_start = may_start
        self._is_started = False
        self._refusal: Exception | None = None  # the whole job's
        self._errors: dict[int, Exception] = {}
        self._left = len(images)
        self._lock = threading.Lock()

    def start(self) -> None:
        """To be called before each image is decoded. Raises what `may_start` raises."""
        with self._lock:
            if not self._is_started:
                self._is_started = True
                try:
                    self._may_start()
                except Exception as error:
                    self._refusal = error
                self.pixels = np.empty((0 if self._refusal else len(self.images), *PIXELS_SHAPE), np.uint8)
            if self._refusal:
                raise self._refusal

    def finish(self, index: int, error: Exception | None) -> None:
        """Image `index` is decoded, or cannot be."""
        with self._lock:
            if error:
                self._errors[index] = error
            self._left -= 1
            if self._left:
                return
        if not self._errors:
            self.future.set_result(self.pixels)
            return
        first = min(self._errors)
        error = self._errors[first]
        if len(self.images) > 1 and isinstance(error, BadImage):
            error = BadImage(f"image {first} of {len(self.images)} (from 0): {error}")
        self.future.set_exception(error)


class DecodePool:
    """Decoding threads and their helper processes.

    Args:
        workers: threads for normal images, and as many for large ones.
        options: how images are decoded.
        max_decode_s: an image that takes longer is refused.
    """

    def __init__(self, workers: int, options: DecodeOptions, max_decode_s: float = 10.0) -> None:
        self.workers = workers
        self.options = options
        self.max_decode_s = max_decode_s
        self._normal: queue.SimpleQueue[tuple[_Job, int] | None] = queue.SimpleQueue()
        self._large: queue.SimpleQueue[tuple[_Job, int, ImageHeader, float] | None] = queue.SimpleQueue()
        prepare(options)
        self._normal_threads = _started(self._run_normal, workers)
        self._large_threads = _started(self._run_large, workers)

    def submit(
        self, images: Sequence[bytes], may_start: Callable[[], None] = lambda: None
    ) -> Future[NDArray[np.uint8]]:
        """Decode the images of one request.

        Args:
            images: encoded, one or more.
            may_start: called on a thread of the pool before the first of them is decoded. It may wait there, and what
                it raises is the request's error: none is decoded then.

        Returns:
            Their pixels, uint8 (N, 224, 224, 3), B, G, R. Where an image is bad, the BadImage names which. Its
            callbacks run on a thread of the pool.
        """
        if not images:
            raise BadImage("request has no images: send one or more")
        job = _Job(images, may_start)
        for index in range(len(images)):
            self._normal.put((job, index))
        return job.future

    def close(self) -> None:
        """End the threads and helpers, when they are done with what they have."""
        for tasks, threads in ((self._normal, self._normal_threads), (self._large, self._large_threads)):
            for _ in threads:
                tasks.put(None)
            for thread in threads:
                thread.join()

    def _run_normal(self) -> None:
        helper = Helper(self.options)
        while task := self._normal.get():
            job, index = task
            error: Exception | None = None
            try:
                job.start()
                data = job.images[index]
                header = read_header(data, self.options)
                if header.work > NORMAL_WORK:
                    self._large.put((job, index, header, self.max_decode_s))
                    continue
                if header.is_fast:
                    decode_known(data, header, job.pixels[index], self.options)
                else:
                    helper.decode(data, header, job.pixels[index], min(TIME_SLICE_S, self.max_decode_s))
            except TookTooLong:
                self._large.put((job, index, header, self.max_decode_s - TIME_SLICE_S))
                continue
            except Exception as failed:
                error = failed
            job.finish(index, error)
        helper.close()

    def _run_large(self) -> None:
        helper = Helper(self.options, LARGE_NICENESS)
        while task := self._large.get():
            job, index, header, limit_s = task
            error: Exception | None = None
            try:
                if limit_s <= 0:
                    raise TookTooLong
                helper.decode(job.images[index], header, job.pixels[index], limit_s)
            except TookTooLong:
                error = BadImage(
                    f"image was not decoded within {self.max_decode_s:g} s, the limit: send a smaller or simpler one"
                )
            except Exception as failed:
                error = failed
            job.finish(index, error)
        helper.close()


def _started(run: Callable[[], None], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=run, name=f"decode {i}", daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    return threads
