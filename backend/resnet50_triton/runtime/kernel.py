"""One ResNet50 on one card, through PYNQ's calls only: pixels in, logits and classes out.

Nothing here knows whether the card is an Alveo or a software card.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

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


@dataclass(frozen=True)
class Result:
    """logits: int32 (N, 1000), None where the kernel does not return them; top5: uint32 (N, 5), best first."""

    logits: NDArray[np.int32] | None
    top5: NDArray[np.uint32]


class _CardUse:
    """What the kernels of this process that share a card agree on."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # around start..wait: PYNQ's XrtDevice is not thread-safe
        self.image: KernelInfo | None = None
        self.kernels = 0
        self.weights: list[Any] = []  # PLRAM holds one set only: kernels with equal weights share the buffer


_uses: dict[str, _CardUse] = {}  # by the device's tag

# Buffers of kernels that were closed while the card still worked on them: freed once it is done, because memory that
# a card may yet write must not be given to anyone else.
_abandoned: list[tuple[list[Start], _CardUse, ExitStack]] = []
_abandoned_lock = threading.Lock()


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


class BufferSet:
    """The device buffers of one start: pixels in and results out."""

    def __init__(
        self, pixels_bank: Any, out_bank: Any, max_batch: int, outputs: KernelVariant, stack: ExitStack
    ) -> None:
        count, dtype = _OUT[outputs]
        self.pixels = _allocate((max_batch, *PIXELS_SHAPE), np.uint8, pixels_bank, stack)
        self.out = _allocate((max_batch, count), dtype, out_bank, stack)
        self.host_pixels: NDArray[np.uint8] = self.pixels.view(np.ndarray)  # the same memory, without PYNQ's slicing
        self._parts: dict[int, tuple[Any, Any]] = {}  # by images; PYNQ's slicing takes longer than a small copy

    def load(self, pixels: NDArray[np.uint8]) -> None:
        """Copy pixels: uint8 (n, 224, 224, 3) to the card; n at most the set's batch."""
        np.copyto(self.host_pixels[: len(pixels)], pixels)
        self.send(len(pixels))

    def send(self, images: int, first: int = 0) -> None:
        """Copy the first images of `host_pixels` to the card, but for so many that are there."""
        pixels = self.pixels[first:images] if first else self._part(images)[0]
        pixels.sync_to_device()

    def read(self, images: int) -> NDArray[Any]:
        """Copy the first results from the card: int32 (n, 1000) or uint32 (n, 5), valid until the next start."""
        out = self._part(images)[1]
        out.sync_from_device()
        results: NDArray[Any] = out.view(np.ndarray)
        return results

    def _part(self, images: int) -> tuple[Any, Any]:
        """The first images' pixels and results, as PYNQ's buffers."""
        if images not in self._parts:
            self._parts[images] = self.pixels[:images], self.out[:images]
        return self._parts[images]


@dataclass(eq=False)
class Start:
    """One start of the kernel that was not yet seen done."""

    images: int
    handle: Any


class Kernel:
    """The ResNet50 kernel of an xclbin, programmed on a card, with the FC weights in the card's memory.

    Safe to call from several threads. Several kernels may share a card if they use the same xclbin and, as the
    card's PLRAM holds one set, the same weights.
    """

    def __init__(
        self,
        xclbin: KernelInfo | str | Path,
        weights: NDArray[np.int8],
        card: str = "software:0",
        max_batch: int = 128,
        timeout_s: float | None = None,
        threads: int | None = None,
        buffer_sets: int = 1,
    ) -> None:
        """Program the card and make the buffers.

        Args:
            xclbin: as it was read, or its file.
            weights: int8 (1000, 2048), of the fully connected layer.
            card: "software:N" or "xrt:N".
            max_batch: the most images in one start; larger batches are split.
            timeout_s: how long a start of `run` may take; None for as long as it takes.
            threads: CPU threads of a software card, 0 for one per CPU; None leaves the card as it is.
            buffer_sets: sets of device buffers. `run` uses the first; with more, a caller of `start` and `wait`
                fills one while the card works on another.

        Raises:
            BadXclbin, BadWeights, BadParameter: naming what is wrong.
            CardError: the card is missing, refuses, or holds another image for another kernel of this process.
        """
        if not isinstance(weights, np.ndarray) or weights.dtype != np.int8 or weights.shape != (CLASSES, FEATURES):
            raise BadWeights(f"fc weights are {_describe(weights)}, expected int8 ({CLASSES}, {FEATURES})")
        if max_batch < 1:
            raise BadParameter(f"max_batch is {max_batch}, expected at least 1")
        if timeout_s is not None and not timeout_s > 0:
            raise BadParameter(f"timeout_s is {timeout_s}, expected above 0, or None for no deadline")
        self._image = xclbin if isinstance(xclbin, KernelInfo) else read_xclbin(xclbin)
        self._device = open_card(card, threads)
        self._use = _uses.setdefault(self._device.tag, _CardUse())
        self._run_lock = threading.Lock()  # `run` has one set of buffers: one batch at a time
        self._unfinished: list[Start] = []  # not seen done, oldest first
        self._card_errors = _CardErrors(card)
        self.card = card
        self.max_batch = max_batch
        self.timeout_s = timeout_s
        _free_abandoned()
        with ExitStack() as stack, self._card_errors:
            kernel, banks = self._program(stack)
            self._start = kernel.start
            self._weights_bank = banks["weightsmem"]
            self._weights: Any = None
            self.place_weights(weights)
            self.buffers = tuple(
                BufferSet(banks["in"], banks["out"], max_batch, self.outputs, stack) for _ in range(buffer_sets)
            )
            self._cleanup: ExitStack | None = stack.pop_all()

    def _program(self, stack: ExitStack) -> tuple[Any, dict[str, Any]]:
        """The kernel's PYNQ driver, and the bank that each of its pointer arguments is wired to."""
        use, image = self._use, self._image
        with use.lock:
            if use.image is not None and use.kernels and use.image.uuid != image.uuid:
                raise CardError(
                    f"card '{self.card}' holds {use.image.path} (UUID {use.image.uuid}) for {use.kernels} other "
                    f"kernels of this process; close them before loading {image.path} (UUID {image.uuid})"
                )
            overlay = load_overlay(image, self._device, download=not use.kernels)
            kernel = getattr(overlay, image.kernel_name)
            use.image = image
            use.kernels += 1
            stack.callback(self._leave)
        return kernel, {name: self._device.get_memory_by_name(bank.name) for name, bank in image.banks.items()}

    def place_weights(self, weights: NDArray[np.int8]) -> None:
        """Put FC weights, int8 (1000, 2048), in the card's memory; kernels with equal weights share them."""
        with self._use.lock:
            for buffer in self._use.weights:
                if np.array_equal(buffer, weights):
                    self._weights = buffer
                    return
            buffer = allocate(weights.shape, np.int8, target=self._weights_bank)
            self._use.weights.append(buffer)  # freed with the last kernel on the card
            buffer[:] = weights
            buffer.sync_to_device()
            self._weights = buffer

    def drop_weights(self) -> None:
        """Free the FC weights, so that another process may put its own there; nothing may be started without."""
        with self._use.lock:
            self._use.weights.remove(self._weights)
            self._weights.freebuffer()
            self._weights = None

    def _leave(self) -> None:
        use = self._use
        with use.lock:
            use.kernels -= 1
            if not use.kernels:
                while use.weights:
                    use.weights.pop().freebuffer()
                self._device.free_bitstream()  # closes the contexts, so that others may program the card

    @property
    def outputs(self) -> KernelVariant:
        """What the card computes: "logits", or "top5" without the logits."""
        return self._image.kernel

    @property
    def image(self) -> KernelInfo:
        """The xclbin."""
        return self._image

    @property
    def device(self) -> Any:
        """PYNQ's device, for its sensors."""
        return self._device

    @property
    def description(self) -> str:
        """The card, what it is, and the image on it, for logs and reports."""
        return f"{self.card} ({self._device.name}) with the {self.outputs} kernel of {self._image.path}"

    def run(self, pixels: NDArray[np.uint8]) -> Result:
        """Classify images.

        Args:
            pixels: uint8 (N, 224, 224, 3), B, G, R; N at least 1.

        Returns:
            The results, in the order of the images, as arrays of their own.

        Raises:
            BadPixels: another shape or type, or no image.
            CardTimeout: a start missed its deadline; the kernel stays unusable until the card has finished it.
            CardError: the card failed, or the kernel is closed.
        """
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != PIXELS_SHAPE:
            raise BadPixels(f"pixels are {_describe(pixels)}, expected uint8 (N, {', '.join(map(str, PIXELS_SHAPE))})")
        if not len(pixels):
            raise BadPixels("pixels hold no image, at least one is needed")
        count, dtype = _OUT[self.outputs]
        results: NDArray[Any] = np.empty((len(pixels), count), dtype)
        with self._run_lock, self._card_errors:
            self._check_usable()
            for first in range(0, len(pixels), self.max_batch):
                part = slice(first, first + self.max_batch)
                self._run_batch(pixels[part], results[part])
        if self.outputs == "logits":
            return Result(results, top5(results))
        return Result(None, results)

    def _run_batch(self, pixels: NDArray[np.uint8], results: NDArray[Any]) -> None:
        buffers = self.buffers[0]
        buffers.load(pixels)
        with self._use.lock:
            self.wait(self.start(buffers, len(pixels)), self.timeout_s)
        np.copyto(results, buffers.read(len(pixels)))

    def start(self, buffers: BufferSet, images: int) -> Start:
        """Queue a start on the card, for images that are in its memory; returns at once.

        Args:
            buffers: one of `self.buffers`, not to be touched until `wait` has returned.
            images: how many of them.

        Raises:
            CardError: the card refused.
        """
        with self._use.lock, self._card_errors:
            start = Start(images, self._start(buffers.pixels, buffers.out, self._weights, images))
            self._unfinished.append(start)
        return start

    def is_done(self, start: Start, timeout_s: float | None) -> bool:
        """Wait until a start has finished; False where it has not in `timeout_s`. Raises CardError where it failed."""
        with self._use.lock, self._card_errors:
            try:
                done = wait_done(start.handle, timeout_s)
            except CardError:
                self._unfinished.remove(start)
                raise
            if done:
                self._unfinished.remove(start)
            return done

    def wait(self, start: Start, timeout_s: float | None) -> None:
        """Wait until a start has finished.

        Raises:
            CardTimeout: it did not in `timeout_s`; the kernel stays unusable until the card has finished it.
            CardError: it failed.
        """
        if not self.is_done(start, timeout_s):
            raise CardTimeout(f"card '{self.card}': {start.images} images took longer than {timeout_s:.3g} s")

    def _check_usable(self) -> None:
        if self._cleanup is None:
            raise CardError(f"card '{self.card}': this kernel is closed; open another")
        if self._unfinished:
            with self._use.lock:
                if not _finished(self._unfinished):
                    raise CardError(f"card '{self.card}': still busy with a start that missed its deadline")
            self._unfinished.clear()

    def close(self) -> None:
        """Free the buffers and let go of the card; again is harmless. Waits for a batch that another thread runs."""
        with self._run_lock:
            cleanup, self._cleanup = self._cleanup, None
            if cleanup is None:
                return
            if not self._unfinished:
                cleanup.close()
            else:
                _abandoned.append((self._unfinished, self._use, cleanup))
                _free_abandoned()

    def reset_card(self) -> None:
        """Close this kernel for good and reset the card, for one that failed; it must be the card's only kernel here.

        Raises:
            CardError: the card does not come back.
        """
        with self._run_lock, self._use.lock:
            cleanup, self._cleanup = self._cleanup, None
            if cleanup is None:
                return
            # The card may still write to the buffers, or refuse to free them: the reset takes them all.
            cleanup.pop_all()
            for buffer in (*self._use.weights, *(b for s in self.buffers for b in (s.pixels, s.out))):
                buffer.pointer, buffer.freed = 0, True
            self._use.weights.clear()
            self._use.kernels, self._use.image = 0, None
            with self._card_errors:
                reset_card(self.card, self._device)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _allocate(shape: tuple[int, ...], dtype: type[np.generic], bank: Any, stack: ExitStack) -> Any:
    buffer = allocate(shape, dtype, target=bank)
    stack.callback(buffer.freebuffer)
    return buffer


def _free_abandoned() -> None:
    with _abandoned_lock:
        for entry in list(_abandoned):
            starts, use, cleanup = entry
            if not use.lock.acquire(blocking=False):
                continue  # the card is at work for another kernel; the next call looks again
            try:
                finished = _finished(starts)
            finally:
                use.lock.release()
            if finished:
                _abandoned.remove(entry)
                cleanup.close()


def _finished(starts: list[Start]) -> bool:
    for start in starts:
        with suppress(CardError):  # a start that failed does not run any more
            if not wait_done(start.handle, 0):
                return False
    return True


def _describe(value: Any) -> str:
    """Type and shape, never the values."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
