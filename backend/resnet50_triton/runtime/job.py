"""A job: one request's images until they are answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadPixels, Cancelled, Expired, Resnet50Error
from ..tensors import PIXELS_SHAPE

if TYPE_CHECKING:
    from .batch import Batch


@dataclass
class JobResult:
    """What the cards computed for a request.

    outputs: int32 (N, 1000) or uint32 (N, 5), not changed any more.
    batches: the batch that each slice of the images was in.
    """

    outputs: NDArray[Any]
    batches: list[tuple[slice, Batch]] = field(default_factory=list)


class Job:
    """One request. Its `future` is done exactly once: with the JobResult of all images, or with a Resnet50Error.

    Args:
        pixels: uint8 (N, 224, 224, 3), in the model's channel order; read until the future is done.
        is_cancelled: whether the caller took the request back.
        timeout_s: the request's own limit on waiting, from now on; None for none.
        now: the clock, in seconds.

    Raises:
        BadPixels: another shape or type, or no image.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        is_cancelled: Callable[[], bool] = lambda: False,
        timeout_s: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != PIXELS_SHAPE or not len(pixels):
            raise BadPixels(
                f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (N, {', '.join(map(str, PIXELS_SHAPE))}), "
                "N at least 1"
            )
        self.pixels = pixels
        self.future: Future[JobResult] = Future()
        self.arrived_s = now()
        self._now = now
        self._is_cancelled = is_cancelled
        self._timeout_s = timeout_s
        self._lock = threading.Lock()  # the slices of one request may be completed by several cards
        self._left = len(pixels)
        self._result: JobResult | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def waited_s(self) -> float:
        """The time since the request came into the model."""
        return self._now() - self.arrived_s

    def check_wanted(self) -> None:
        """Look whether the caller still wants the answer. Raises Cancelled or Expired."""
        if self._is_cancelled():
            raise Cancelled("the request was cancelled while it waited for the card")
        waited_s = self.waited_s()
        if self._timeout_s is not None and waited_s > self._timeout_s:
            raise Expired(f"the request waited {waited_s:.3f} s for the card, its timeout is {self._timeout_s:.3f} s")

    def complete(self, images: slice, outputs: NDArray[Any], batch: Batch) -> None:
        """Take the outputs of some images; the last ones answer the request.

        Args:
            images: which of the request's.
            outputs: of these images; the array is not changed any more.
            batch: that they were in.
        """
        with self._lock:
            if self._result is None:
                whole = len(outputs) == len(self)
                self._result = JobResult(outputs if whole else np.empty((len(self), *outputs.shape[1:]), outputs.dtype))
            if self._result.outputs is not outputs:
                self._result.outputs[images] = outputs
            self._result.batches.append((images, batch))
            self._left -= len(outputs)
            if self._left:
                return
        with suppress(InvalidStateError):  # another slice of the request has failed
            self.future.set_result(self._result)

    def fail(self, error: Resnet50Error) -> bool:
        """Answer with an error; False where the request has its answer already."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return False
        return True
