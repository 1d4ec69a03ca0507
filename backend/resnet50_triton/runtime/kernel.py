"""One ResNet50 kernel on one card, through PYNQ's calls only.

Nothing here knows whether the card is an Alveo or a software card.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pynq import allocate

from ..cards import open_card, reset_card
from ..errors import BadParameter, BadPixels, BadWeights, CardError, CardTimeout
from ..ranking import top5
from ..tensors import CLASSES, FEATURES, PIXELS_SHAPE, TOP
from ..xclbin.kernel_info import KernelInfo, KernelVariant, read_xclbin
from .overlay import load_overlay
from .waiting import wait_done

_OUT: dict[KernelVariant, tuple[int, type[np.generic]]] = {"logits": (CLASSES, np.int32), "top5": (TOP, np.uint32)}

_in_use: set[str] = set()  # the tags of the devices that a kernel of this process has
_in_use_lock = threading.Lock()

# Buffers that a card may yet write to: never freed, because their memory must not be given to anyone else.
_abandoned: list[Any] = []


@dataclass(frozen=True)
class Result:
    """logits: int32 (N, 1000), None where the kernel does not return them; top5: uint32 (N, 5), best first."""

    logits: NDArray[np.int32] | None
    top5: NDArray[np.uint32]


@dataclass(eq=False)
class Run:
    """One run of the kernel that was not yet seen done."""

    batch_size: int
    handle: Any


class Events(Protocol):
    """The ends of a card's runs. A thread that waits for the next of them need not be woken up when a run starts."""

    @property
    def events(self) -> int:
        """How many there were."""
        ...

    def wait_for_event(self, seen: int, timeout_s: float) -> None:
        """Wait, at most so long, until there are more than were seen."""
        ...

    def poke(self) -> None:
        """Wake up who waits."""
        ...


class _Part(NamedTuple):
    """The first images of buffers. What PYNQ's slices and syncs find out each time takes longer than a small copy."""

    upload: Callable[[], None]
    download: Callable[[], None]
    outputs: NDArray[Any]


class BufferSet:
    """The device buffers of one run: pixels in, outputs out."""

    def __init__(self, pixels_bank: Any, out_bank: Any, batch_size: int, variant: KernelVariant) -> None:
        count, dtype = _OUT[variant]
        self.pixels = allocate((batch_size, *PIXELS_SHAPE), np.uint8, target=pixels_bank)
        try:
            self.out = allocate((batch_size, count), dtype, target=out_bank)
        except BaseException:
            self.pixels.freebuffer()
            raise
        self.host_pixels: NDArray[np.uint8] = self.pixels.view(np.ndarray)  # the same memory, without PYNQ's slicing
        self._parts: dict[int, _Part] = {}  # by images

    def load(self, pixels: NDArray[np.uint8]) -> None:
        """Copy pixels: uint8 (n, 224, 224, 3) to the card; n at most the buffers' batch size."""
        np.copyto(self.host_pixels[: len(pixels)], pixels)
        self.upload(len(pixels))

    def upload(self, images: int, first: int = 0) -> None:
        """Copy the images `first` to `images` of `host_pixels` to the card."""
        if first:
            self.pixels[first:images].sync_to_device()
        else:
            self._part(images).upload()

    def download(self, images: int) -> NDArray[Any]:
        """Copy the first outputs from the card: int32 (n, 1000) or uint32 (n, 5), valid until the next run."""
        part = self._part(images)
        part.download()
        return part.outputs

    def _part(self, images: int) -> _Part:
        part = self._parts.get(images)
        if part is None:
            pixels, out = self.pixels[:images], self.out[:images]
            upload = partial(pixels.device.flush, pixels.bo, pixels.offset, pixels.virtual_address, pixels.nbytes)
            download = partial(out.device.invalidate, out.bo, out.offset, out.virtual_address, out.nbytes)
            part = self._parts[images] = _Part(upload, download, out.view(np.ndarray))
        return part

    def free(self) -> None:
        """Give the memory back to the card."""
        self.pixels.freebuffer()
        self.out.freebuffer()

    def forget(self) -> None:
        """Never free the memory: a reset of the card has taken it."""
        for buffer in (self.pixels, self.out):
            buffer.pointer, buffer.freed = 0, True


class _CardErrors:
    """PYNQ reports what XRT refuses as RuntimeError: name the card. (contextlib's would take a few times as long.)"""

    def __init__(self, card: str) -> None:
        self._card = card

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, RuntimeError | OSError):
            raise CardError(f"card '{self._card}': {error}") from error


class Kernel:
    """The ResNet50 kernel of an xclbin, programmed on a card, with the FC weights in the card's memory.

    One kernel a card and process. `run` may be called from several threads; `start`, `is_done` and `wait` are for one
    thread at a time, because PYNQ's XrtDevice is.

    Args:
        xclbin: a file, or what was read of it.
        weights: int8 (1000, 2048), of the fully connected layer.
        card: "software:N" or "xrt:N".
        batch_size: the most images in one run.
        buffer_sets: sets of device buffers: one is filled while the card works on another.
        threads: CPU threads of a software card, 0 for one per CPU; None leaves the card as it is.

    Raises:
        BadXclbin, BadWeights, BadParameter: naming what is wrong.
        CardError: the card is missing, refuses, or has another kernel of this process.
    """

    def __init__(
        self,
        xclbin: KernelInfo | str | Path,
        weights: NDArray[np.int8],
        card: str = "software:0",
        batch_size: int = 128,
        buffer_sets: int = 1,
        threads: int | None = None,
    ) -> None:
        if not isinstance(weights, np.ndarray) or weights.dtype != np.int8 or weights.shape != (CLASSES, FEATURES):
            raise BadWeights(f"fc weights are {_describe(weights)}, expected int8 ({CLASSES}, {FEATURES})")
        if batch_size < 1:
            raise BadParameter(f"batch_size is {batch_size}, expected at least 1")
        self.xclbin = xclbin if isinstance(xclbin, KernelInfo) else read_xclbin(xclbin)
        self.card = card
        self.batch_size = batch_size
        self.device = open_card(card, threads)  # PYNQ's device, which has the power sensors
        self._card_errors = _CardErrors(card)
        self._run_lock = threading.Lock()
        self._unfinished: list[Run] = []  # not seen done, oldest first
        self._weights: Any = None
        with ExitStack() as stack, self._card_errors:
            self._claim(stack)
            overlay = load_overlay(self.xclbin, self.device)
            stack.callback(self.device.free_bitstream)  # closes the contexts, so that others may program the card
            self.events: Events | None = getattr(self.device, "events", None)
            self._start = getattr(overlay, self.xclbin.kernel_name).start
            self._banks = {name: self.device.get_memory_by_name(m.name) for name, m in self.xclbin.banks.items()}
            stack.callback(self.drop_weights)
            self.place_weights(weights)
            self.buffers = tuple(self._buffer_set(batch_size, stack) for _ in range(buffer_sets))
            self.selftest_buffers = self._buffer_set(1, stack)
            self._cleanup: ExitStack | None = stack.pop_all()

    def _claim(self, stack: ExitStack) -> None:
        tag = self.device.tag
        with _in_use_lock:
            if tag in _in_use:
                raise CardError(f"card '{self.card}' has another kernel of this process; close that one first")
            _in_use.add(tag)
        stack.callback(_in_use.discard, tag)

    def _buffer_set(self, batch_size: int, stack: ExitStack) -> BufferSet:
        made = BufferSet(self._banks["in"], self._banks["out"], batch_size, self.xclbin.kernel)
        stack.callback(made.free)
        return made

    def place_weights(self, weights: NDArray[np.int8]) -> None:
        """Put FC weights, int8 (1000, 2048), in the card's memory, which has room for one set."""
        buffer = allocate(weights.shape, np.int8, target=self._banks["weightsmem"])
        buffer[:] = weights
        buffer.sync_to_device()
        self._weights = buffer

    def drop_weights(self) -> None:
        """Free the FC weights, so that another process may put its own there; nothing may be started without."""
        buffer, self._weights = self._weights, None
        if buffer is not None:
            buffer.freebuffer()

    @property
    def description(self) -> str:
        """The card, what it is, and the xclbin on it, for logs and reports."""
        return f"{self.card} ({self.device.name}) with the {self.xclbin.kernel} kernel of {self.xclbin.path}"

    def start(self, buffers: BufferSet, batch_size: int) -> Run:
        """Queue a run on the card, for images that are in its memory; returns at once.

        Args:
            buffers: one of `self.buffers`, not to be touched until `wait` has returned.
            batch_size: how many images.

        Raises:
            CardError: the card refused.
        """
        with self._card_errors:
            run = Run(batch_size, self._start(buffers.pixels, buffers.out, self._weights, batch_size))
        self._unfinished.append(run)
        return run

    def is_done(self, run: Run, timeout_s: float | None) -> bool:
        """Wait until a run has finished; False where it has not in `timeout_s`. Raises CardError where it failed."""
        with self._card_errors:
            try:
                done = wait_done(run.handle, timeout_s)
            except CardError:
                self._unfinished.remove(run)
                raise
        if done:
            self._unfinished.remove(run)
        return done

    def wait(self, run: Run, timeout_s: float | None) -> None:
        """Wait until a run has finished. Raises CardTimeout where it has not in `timeout_s`, CardError if it failed."""
        if not self.is_done(run, timeout_s):
            raise CardTimeout(f"card '{self.card}': {run.batch_size} images took longer than {timeout_s:.3g} s")

    def run(self, pixels: NDArray[np.uint8], timeout_s: float | None = None) -> Result:
        """Classify images, in runs of at most `batch_size`, one after the other.

        Args:
            pixels: uint8 (N, 224, 224, 3), B, G, R; N at least 1.
            timeout_s: how long each run may take; None for as long as it takes.

        Returns:
            The results, in the order of the images, as arrays of their own.

        Raises:
            BadPixels: another shape or type, or no image.
            CardTimeout: a run missed its deadline; the card stays busy until it has finished it.
            CardError: the card failed or is busy, or the kernel is closed.
        """
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != PIXELS_SHAPE:
            raise BadPixels(f"pixels are {_describe(pixels)}, expected uint8 (N, {', '.join(map(str, PIXELS_SHAPE))})")
        if not len(pixels):
            raise BadPixels("pixels hold no image, at least one is needed")
        count, dtype = _OUT[self.xclbin.kernel]
        outputs: NDArray[Any] = np.empty((len(pixels), count), dtype)
        buffers = self.buffers[0]
        with self._run_lock, self._card_errors:
            if self._cleanup is None:
                raise CardError(f"card '{self.card}': this kernel is closed; open another")
            if self._is_busy():
                raise CardError(f"card '{self.card}': still busy with a run that missed its deadline")
            for first in range(0, len(pixels), self.batch_size):
                part = pixels[first : first + self.batch_size]
                buffers.load(part)
                self.wait(self.start(buffers, len(part)), timeout_s)
                np.copyto(outputs[first : first + len(part)], buffers.download(len(part)))
        return Result(outputs, top5(outputs)) if self.xclbin.kernel == "logits" else Result(None, outputs)

    def _is_busy(self) -> bool:
        for run in list(self._unfinished):
            with suppress(CardError):  # a run that failed does not run any more
                if not self.is_done(run, 0):
                    return True
        return False

    def close(self) -> None:
        """Free the buffers and let go of the card; again is harmless. Waits for a batch that another thread runs."""
        with self._run_lock:
            cleanup, self._cleanup = self._cleanup, None
            if cleanup is None:
                return
            if self._unfinished:  # of a card that is about to be reset, or of a process that is about to end
                _abandoned.append((cleanup.pop_all(), self.buffers, self.selftest_buffers, self._weights))
                _in_use.discard(self.device.tag)
            cleanup.close()

    def reset_card(self) -> None:
        """Close this kernel for good and reset the card, for one that failed. Raises CardError if it stays away."""
        with self._run_lock:
            cleanup, self._cleanup = self._cleanup, None
            if cleanup is None:
                return
            # The card may still write to the buffers, or refuse to free them: the reset takes them all.
            cleanup.pop_all()
            for buffers in (*self.buffers, self.selftest_buffers):
                buffers.forget()
            if self._weights is not None:
                self._weights.pointer, self._weights.freed = 0, True
            _in_use.discard(self.device.tag)
            with self._card_errors:
                reset_card(self.card, self.device)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _describe(value: Any) -> str:
    """Type and shape, never the values."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
