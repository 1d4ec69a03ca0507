"""A card for tests: it computes nothing, and each run lasts until the test opens the gate."""

from __future__ import annotations

import threading

from resnet50_triton.cards.call import KernelCall
from resnet50_triton.cards.commands import CommandQueue, ComputingQueue
from resnet50_triton.cards.emulated import EmulatedCard
from resnet50_triton.xclbin.kernel_info import KernelInfo


class GateCard(EmulatedCard):
    """`out` receives, for each image, its first pixel value; `running` is set while a run waits at the gate."""

    name = "gate card"

    def __init__(self, index: int) -> None:
        super().__init__(f"gate:{index}", index)
        self.open = threading.Event()
        self.running = threading.Event()
        self.fail_next = False

    def _load(self, xclbin: KernelInfo) -> CommandQueue:  # noqa: ARG002
        return ComputingQueue(self.tag, self._pass)

    def _pass(self, call: KernelCall) -> None:
        self.running.set()
        self.open.wait()
        self.running.clear()
        if self.fail_next:
            self.fail_next = False
            raise ZeroDivisionError("made by the test")
        call.out[:] = call.pixels[:, :1, 0, 0]


_cards: dict[int, GateCard] = {}


def open_device(index: int, threads: int | None = None) -> GateCard:  # noqa: ARG001
    return _cards.setdefault(index, GateCard(index))
