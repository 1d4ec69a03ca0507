"""Whole batches decoded on a fixed number of threads, straight into one array."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..errors import BadImage, Resnet50Error
from ..tensors import PIXELS_SHAPE
from .image import decode_image
from .options import DecodeOptions

PATIENCE_S = 0.25  # an image that takes longer is late: its neighbours do not wait for it


class Batch:
    """Images under way. `pixels`: uint8 (N, 224, 224, 3), B, G, R; row i is good once image i is done without error."""

    def __init__(self, images: Sequence[bytes], options: DecodeOptions) -> None:
        self.pixels = np.empty((len(images), *PIXELS_SHAPE), np.uint8)
        self._options = options
        self._errors: list[Resnet50Error | None] = [None] * len(images)
        self._started = [0.0] * len(images)
        self._done = [False] * len(images)
        self._left = len(images)
        self._todo = iter(enumerate(images))  # its next() is atomic: the threads share the work through it
        self._changed = threading.Condition()

    def work(self) -> None:
        """Decode what no other thread has taken, until nothing is left."""
        for index, data in self._todo:
            self._started[index] = time.monotonic()
            try:
                decode_image(data, self.pixels[index], self._options)
            except Resnet50Error as error:
                self._errors[index] = error
            except BaseException as error:
                # decode_image lets nothing else out; should it do so, the image fails rather than waits for ever.
                self._errors[index] = Resnet50Error(f"decoding failed: {type(error).__name__}: {error}")
            with self._changed:
                self._done[index] = True
                self._left -= 1
                if self._left == 0:
                    self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until all images are done; False when they are not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._left == 0, timeout_s)

    def wait_but_for_late(self) -> bool:
        """Wait until all images are done but for those that a thread has been on for PATIENCE_S; True when all are."""
        while not self.wait(PATIENCE_S):
            late = time.monotonic() - PATIENCE_S
            if all(done or 0 < start < late for done, start in zip(self._done, self._started, strict=True)):
                return False
        return True

    def wait_at_most(self, images: slice, max_decode_s: float) -> None:
        """Wait until these images are done, or one has been decoded for `max_decode_s`."""
        while not self.is_done(images):
            running = [start for start, done in zip(self._started[images], self._done[images], strict=True) if not done]
            left_s = min(running, default=0.0) + max_decode_s - time.monotonic()
            if left_s <= 0 or self.wait(min(left_s, PATIENCE_S)):
                return

    def is_done(self, images: slice) -> bool:
        """Whether all of these images are done."""
        return all(self._done[images])

    def error(self, images: slice, max_decode_s: float) -> Resnet50Error | None:
        """What is wrong with these images: the first error, or the time limit where one is not done."""
        for done, error in zip(self._done[images], self._errors[images], strict=True):
            if error:
                return error
            if not done:
                return BadImage(
                    f"image was not decoded within {max_decode_s:g} s, the limit: send a smaller or simpler one"
                )
        return None


class DecodePool:
    """A fixed number of decoding threads.

    Args:
        workers: how many.
        options: how images are decoded.
    """

    def __init__(self, workers: int, options: DecodeOptions) -> None:
        self.workers = workers
        self.options = options
        self._threads = ThreadPoolExecutor(workers, "decode")

    def start(self, images: Sequence[bytes]) -> Batch:
        """Begin to decode a batch."""
        batch = Batch(images, self.options)
        for _ in range(min(self.workers, len(images))):
            self._threads.submit(batch.work)
        return batch

    def close(self) -> None:
        """End the threads, when they are done with what they have."""
        self._threads.shutdown()
