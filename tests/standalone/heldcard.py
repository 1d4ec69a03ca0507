"""A card for tests of the pipeline: a run lasts until the test's condition holds; it answers with each image's first
pixel value."""

from __future__ import annotations

import math
import threading

from resnet50_triton.cards.call import KernelCall
from resnet50_triton.cards.commands import CommandQueue, ComputingQueue
from resnet50_triton.cards.emulated import EmulatedCard
from resnet50_triton.tensors import PIXELS_SIZE_BYTES
from resnet50_triton.xclbin.kernel_info import KernelInfo

PATIENCE_S = 20.0


class HeldCard(EmulatedCard):
    name = "held card"

    def __init__(self, index: int) -> None:
        super().__init__(f"held:{index}", index)
        self.changed = threading.Condition()
        self.needed = 0  # batches of pixels that have to be in the card's memory before a run ends
        self.sent = self.runs = 0
        self.fails_at = 0  # this run fails
        self.fails_from = math.inf  # and all from this one on

    def _load(self, xclbin: KernelInfo) -> CommandQueue:  # noqa: ARG002
        return ComputingQueue(self.tag, self._compute)

    def _compute(self, call: KernelCall) -> None:
        self.runs += 1
        with self.changed:
            if not self.changed.wait_for(lambda: self.sent >= self.needed, PATIENCE_S):
                raise TimeoutError(f"{self.sent} batches were sent while the first run lasted, not {self.needed}")
        if self.runs == self.fails_at or self.runs >= self.fails_from:
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


def reset_device(card: HeldCard) -> None:
    card.reset_fpga()
