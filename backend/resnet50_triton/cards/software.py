"""The software card: a PYNQ device that computes the network on the CPU, bit for bit as the Alveo does."""

from __future__ import annotations

import logging
import os
from typing import Any

from ..errors import BadParameter
from ..network.engine import Engine, NativeEngine, advice, open_engine
from ..network.parameters import Network
from ..ranking import top5
from ..xclbin.kernel_info import KernelInfo
from .call import KernelCall
from .commands import CommandQueue, ComputingQueue, EngineQueue
from .emulated import EmulatedCard
from .probe import probed_devices

_log = logging.getLogger(__name__)

COUNT_VARIABLE = "RESNET50_SOFTWARE_CARDS"
THREADS_VARIABLE = "RESNET50_THREADS"


class SoftwareCard(EmulatedCard):
    """A card that loads the network from the xclbin's BITSTREAM section and computes with it.

    PYNQ lists as many as RESNET50_SOFTWARE_CARDS says (1) once this module is imported, after all other devices, so
    that a real card stays PYNQ's default. RESNET50_THREADS is the number of threads that each computes with (0: one
    per CPU that the process may use).

    Not modelled: time (a run takes as long as the CPU needs), power rails, several
    processes sharing a card, PCIe errors and resets, other kernels and CUs, and what hardware does when its rules are
    broken: that raises CardRule here, most of it at the start. Memory begins as zeros. A buffer of another card is
    noticed only where its address is free on this one. Registers may be written while the kernel runs.
    """

    _probe_priority_ = 1000  # after EmbeddedDevice (50) and XrtDevice (200): the first device is PYNQ's default

    @classmethod
    def _probe_(cls) -> list[SoftwareCard]:
        return [SoftwareCard(f"software:{index}", index) for index in range(_environment(COUNT_VARIABLE, 1))]

    def __init__(self, tag: str, index: int) -> None:
        super().__init__(tag, index)
        self.threads = _environment(THREADS_VARIABLE, 0)
        self._engine_threads = self.threads
        self._engine_name = "not programmed"

    @property
    def name(self) -> str:
        """What kind of card this is, and what it computes with."""
        return f"software card, {self._engine_name}"

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Program the card; see EmulatedCard. A changed number of threads takes effect here."""
        with self._lock:
            super().download(bitstream, parser)
            programmed = self.programmed()
            if self.threads != self._engine_threads and programmed.commands.idle:
                programmed.commands.stop(0)
                programmed.commands = self._load(programmed.xclbin)

    def _load(self, xclbin: KernelInfo) -> CommandQueue:
        engine = open_engine(Network.from_bytes(xclbin.network_bytes()), self.threads)
        self._engine_threads = self.threads
        self._engine_name = engine.name
        _log.info("%s: programmed with %s (%s kernel), %s", self.tag, xclbin.path, xclbin.kernel, self.name)
        how_to_be_faster = advice()
        if how_to_be_faster:
            _log.warning("%s: %s", self.tag, how_to_be_faster)
        return self._queue(engine, ranks=xclbin.kernel == "top5")

    def _queue(self, engine: Engine, *, ranks: bool) -> CommandQueue:
        if isinstance(engine, NativeEngine) and not ranks:
            return EngineQueue(self.tag, engine)
        return ComputingQueue(self.tag, lambda call: compute(engine, call, ranks=ranks))


def compute(engine: Engine, call: KernelCall, *, ranks: bool) -> None:
    """Fill the call's `out`: with the logits, or with the classes that rank first."""
    if ranks:
        call.out[:] = top5(engine.logits(call.pixels, call.weights))
    else:
        engine.logits(call.pixels, call.weights, call.out)


def open_device(index: int, threads: int | None = None) -> SoftwareCard:
    """The software card of this index, made and added to PYNQ's list where missing.

    Args:
        threads: for its next programming; None leaves them as they are.
    """
    devices = probed_devices()
    card = next((d for d in devices if isinstance(d, SoftwareCard) and d.index == index), None)
    if card is None:
        card = SoftwareCard(f"software:{index}", index)
        devices.append(card)
    if threads is not None:
        card.threads = threads
    return card


def reset_device(card: SoftwareCard) -> None:
    """Bring the card back to its state before it was programmed."""
    card.reset_fpga()


def count_devices() -> int:
    """How many software cards "software:*" stands for."""
    return sum(isinstance(device, SoftwareCard) for device in probed_devices())


def _environment(name: str, default: int) -> int:
    text = os.environ.get(name, "") or str(default)
    if not text.isdecimal() or int(text) > 1024:
        raise BadParameter(f"environment {name} is '{text}', expected a whole number from 0 to 1024")
    return int(text)
