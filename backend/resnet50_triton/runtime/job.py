"""One request's images on their way through the cards."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ..errors import BadPixels, Cancelled, Expired, Resnet50Error
from ..tensors import PIXELS_SHAPE

_log = logging.getLogger(__name__)

Answer = Callable[["Job", "Resnet50Error | None"], None]


class Provenance(NamedTuple):
    """Where, how and when some images of a request were computed; `_ns` are moments: time.time_ns() of the host."""

    card: str  # "xrt:0"
    kind: str  # "alveo", "emulation" (of an Alveo, by XRT), "software" or "timing"
    xclbin_uuid: str
    batch: int  # images in the same start
    queue_us: int  # from the request's arrival in the model to the copy, and from there to the start
    copy_us: int  # Triton's tensors to the card's memory
    kernel_us: int  # start to done
    received_ns: int  # Triton handed the request over
    upload_start_ns: int
    upload_end_ns: int
    kernel_start_ns: int
    kernel_end_ns: int
    download_start_ns: int
    download_end_ns: int
    version: str  # of resnet50-pynq

    def to_json(self) -> str:
        """As the PROVENANCE output tells it."""
        return _JSON % self


# Made for each request that asks for it, while its client waits: a quarter of json.dumps's time. No text in it
# has a character that JSON would escape.
_FIELDS = [f'"{name}": ' + ('"%s"' if kind is str else "%d") for name, kind in get_type_hints(Provenance).items()]
_JSON = f"{{{', '.join(_FIELDS)}}}"


class Job:
    """One request; answered exactly once, with the results of all its images or with an error.

    Args:
        pixels: uint8 (N, 224, 224, 3), BGR; read until the last image is copied.
        answer: called with this job and None, or the error; from any thread.
        is_cancelled: whether the caller took the request back.
        timeout_s: the request's own limit on waiting, from now on; None for none.

    Raises:
        BadPixels: another shape or type, or no image.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        answer: Answer,
        is_cancelled: Callable[[], bool] = lambda: False,
        timeout_s: float | None = None,
    ) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != PIXELS_SHAPE or not len(pixels):
            raise BadPixels(
                f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (N, {', '.join(map(str, PIXELS_SHAPE))}), "
                "N at least 1"
            )
        self.pixels = pixels
        self.arrived_s = time.monotonic()
        self.results: NDArray[Any] | None = None  # int32 (N, 1000) or uint32 (N, 5) once answered
        self.origins: list[tuple[slice, Provenance]] = []
        self.answer = answer
        self._is_cancelled = is_cancelled
        self._timeout_s = timeout_s
        self._left = len(pixels)
        self._answered = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.pixels)

    def waited_s(self) -> float:
        """Since it came into the model."""
        return time.monotonic() - self.arrived_s

    def check_wanted(self) -> None:
        """Look whether the caller still wants the answer. Raises Cancelled or Expired."""
        if self._is_cancelled():
            raise Cancelled("the request was cancelled while it waited for the card")
        waited_s = self.waited_s()
        if self._timeout_s is not None and waited_s > self._timeout_s:
            raise Expired(f"the request waited {waited_s:.3f} s for the card, its timeout is {self._timeout_s:.3f} s")

    def succeed(self, images: slice, results: NDArray[Any], origin: Provenance) -> None:
        """Take the results of some images, which nobody changes any more; the last ones answer the request."""
        with self._lock:
            if len(results) == len(self):
                self.results = results
            else:
                if self.results is None:
                    self.results = np.empty((len(self), *results.shape[1:]), results.dtype)
                self.results[images] = results
            self.origins.append((images, origin))
            self._left -= len(results)
            if self._left or self._answered:
                return
            self._answered = True
        self._send(None)

    def fail(self, error: Resnet50Error) -> bool:
        """Answer with an error; False where there was an answer before."""
        with self._lock:
            if self._answered:
                return False
            self._answered = True
        self._send(error)
        return True

    def _send(self, error: Resnet50Error | None) -> None:
        try:
            self.answer(self, error)
        except Exception:  # the card's thread must live on, whatever becomes of one answer
            _log.exception("an answer could not be sent")
