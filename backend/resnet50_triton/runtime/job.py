"""A job: one request's images until they are answered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BadPixels, Cancelled, Expired, Resnet50Error
from ..tensors import PIXELS_SHAPE
from .pixels import CopyPixels

if TYPE_CHECKING:
    from .batch import Batch

_log = logging.getLogger(__name__)


class Computed(NamedTuple):
    """Some images of a request that were computed in one batch."""

    images: slice  # of the request's
    batch: Batch
    runs: int  # 1, or more where the images were run again after a fault


@dataclass
class JobResult:
    """What the cards computed for a request.

    outputs: int32 (N, 1000) or uint32 (N, 5), not changed any more.
    arrived_s: when the request came, by the runtime's clock.
    parts: the batches that the images were in.
    """

    outputs: NDArray[Any]
    arrived_s: float
    parts: list[Computed] = field(default_factory=list)


Outcome = JobResult | Resnet50Error


class Job:
    """One request, which is answered exactly once.

    Args:
        pixels: uint8 (N, 224, 224, 3), in the model's channel order; held until the request is answered.
        answer: called with the result of all images, or with an error, on the thread that has it.
        is_cancelled: whether the caller took the request back; held as long as the pixels.
        timeout_s: the request's own limit on waiting, from now on; None for none.
        now: the clock, in seconds.

    Raises:
        BadPixels: another shape or type, or no image.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        answer: Callable[[Outcome], None],
        is_cancelled: Callable[[], bool] = lambda: False,
        timeout_s: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != PIXELS_SHAPE or not len(pixels):
            raise BadPixels(
                f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (N, {', '.join(map(str, PIXELS_SHAPE))}), "
                "N at least 1"
            )
        self._held: tuple[NDArray[np.uint8], Callable[[], bool]] | None = (pixels, is_cancelled)
        self._answer: Callable[[Outcome], None] | None = answer
        self._size = len(pixels)
        self.arrived_s = now()
        self._now = now
        self._timeout_s = timeout_s
        self._lock = threading.Lock()  # the slices of one request may be completed by several cards
        self._left = self._size
        self._result: JobResult | None = None

    def __len__(self) -> int:
        return self._size

    @property
    def is_answered(self) -> bool:
        """Whether the request has its answer."""
        return self._answer is None

    def waited_s(self) -> float:
        """The time since the request came into the model."""
        return self._now() - self.arrived_s

    def check_wanted(self) -> None:
        """Look whether the caller still wants the answer. Raises Cancelled or Expired."""
        held = self._held
        if held is not None and held[1]():
            raise Cancelled("the request was cancelled while it waited for the card")
        waited_s = self.waited_s()
        if self._timeout_s is not None and waited_s > self._timeout_s:
            raise Expired(f"the request waited {waited_s:.3f} s for the card, its timeout is {self._timeout_s:.3f} s")

    def copy_pixels(self, images: slice, into: NDArray[np.uint8], copy: CopyPixels) -> None:
        """Copy some images' pixels; nothing where the request has its answer already, as when another card failed."""
        held = self._held  # and until they are copied
        if held is not None:
            copy(held[0][images], into)

    def complete(self, images: slice, outputs: NDArray[Any], batch: Batch, runs: int) -> None:
        """Take the outputs of some images; the last ones answer the request.

        Args:
            images: which of the request's.
            outputs: of these images; the array is not changed any more.
            batch: that they were in.
            runs: how often they were run.
        """
        with self._lock:
            if self._result is None:
                whole = len(outputs) == self._size
                all_outputs = outputs if whole else np.empty((self._size, *outputs.shape[1:]), outputs.dtype)
                self._result = JobResult(all_outputs, self.arrived_s)
            if self._result.outputs is not outputs:
                self._result.outputs[images] = outputs
            self._result.parts.append(Computed(images, batch, runs))
            self._left -= len(outputs)
            if self._left:
                return
        self._end(self._result)

    def fail(self, error: Resnet50Error) -> bool:
        """Answer with an error; False where the request has its answer already."""
        return self._end(error)

    def _end(self, outcome: Outcome) -> bool:
        with self._lock:
            answer, self._answer = self._answer, None
        if answer is None:  # as where another slice of the request has failed
            return False
        try:
            answer(outcome)
        except Exception:  # the caller's fault, not the card's
            _log.exception("a request's answer could not be sent")
        self._held = None
        return True


class FutureJob(Job):
    """A request whose `future` has the outcome.

    Args:
        pixels, options: as for Job.
    """

    def __init__(self, pixels: NDArray[np.uint8], **options: Any) -> None:
        # Not created by Job: Triton's requests need none, and one that comes alone would wait for it.
        self.future: Future[JobResult] = Future()
        super().__init__(pixels, partial(_settle, self.future), **options)


def _settle(future: Future[JobResult], outcome: Outcome) -> None:
    if isinstance(outcome, Resnet50Error):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
