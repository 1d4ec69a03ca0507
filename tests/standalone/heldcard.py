"""A card for tests of the pipeline: a start lasts until the test's condition holds; it answers with each image's first
pixel value."""

from __future__ import annotations

import threading

from resnet50_triton.cards.call import KernelCall
from resnet50_triton.cards.emulated import Compute, EmulatedCard
from resnet50_triton.tensors import PIXELS_SIZE_BYTES
from resnet50_triton.xclbin.kernel_info import KernelInfo

PATIENCE_S = 20.0


class HeldCard(EmulatedCard):
    name = "held card"

    def __init__(self, index: int) -> None:
        super().__init__(f"held:{index}", index)
        self.changed = threading.Condition()
        self.needed = 0  # batches of pixels that have to be in the card's memory before a start ends
        self.sent = self.starts = 0
        self.fails_at = 0  # this start fails
        self.hangs = False

    def _load(self, xclbin: KernelInfo) -> Compute:  # noqa: ARG002
        return self._compute

    def _compute(self, call: KernelCall) -> None:
        self.starts += 1
        with self.changed:
            if not self.changed.wait_for(lambda: self.sent >= self.needed and not self.hangs, PATIENCE_S):
                raise TimeoutError(f"{self.sent} batches were sent while the first start ran, not {self.needed}")
        if self.starts == self.fails_at:
            raise ZeroDivisionError("made by the test")
        call.out[:] = call.pixels[:, :1, 0, 0]

    def flush(self, bo: int, offset: int, ptr: int, size: int) -> None:
        super().flush(bo, offset, ptr, size)
        with self.changed:
            self.sent += size % PIXELS_SIZE_BYTES == 0
            self.changed.notify_all()


_cards: dict[int, HeldCard] = {}


def open_device(index: int, threads: int | None = None) -> HeldCard:  # noqa: ARG001
    return _cards.setdefault(index, HeldCard(index))
