"""The faulty card, for tests only: a software card that fails when a file tells it to.

RESNET50_FAULTS names the file: a JSON list of faults, which takes effect as it is replaced (`inject`). Each is
{"fault": NAME, "count": how many times, from the next call on, "card": which one ("faulty:0"), "seconds": how long};
all but the name may be left out.

    hang             a run never ends, until the card is reset
    slow             a run takes `seconds` longer
    wrong            one value of each image's result is another
    poison           a run fails that has an image whose first byte is `value`
    sync_to_device   copying to the card fails
    sync_from_device copying from the card fails
    allocate         the card has no memory left
    program          programming is refused: EBUSY
    vanish           every use of the card fails for `seconds`: ENODEV
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadParameter
from ..files import write_atomically
from ..network.engine import Engine
from .bank import EmulatedBank
from .call import KernelCall
from .commands import CommandQueue, ComputingQueue
from .software import SoftwareCard, compute

ENVIRONMENT = "RESNET50_FAULTS"

FAULTS = ("hang", "slow", "wrong", "poison", "sync_to_device", "sync_from_device", "allocate", "program", "vanish")


def inject(path: Path, *faults: Mapping[str, Any]) -> None:
    """Replace the faults in the file; none ends those that were there.

    Raises:
        BadParameter: a fault that is not known.
    """
    for fault in faults:
        if fault["fault"] not in FAULTS:
            raise BadParameter(f"fault '{fault['fault']}' is not known (known: {', '.join(FAULTS)})")
    write_atomically(path, json.dumps(faults).encode())


class FaultyCard(SoftwareCard):
    """A software card that obeys a file of faults; see the module. PYNQ does not list it."""

    def __init__(self, tag: str, index: int, path: Path) -> None:
        super().__init__(tag, index)
        self._path = path
        self._version = 0  # of the file, by its time
        self._faults: list[dict[str, Any]] = []
        self._faults_lock = threading.Lock()
        self._gone_until_s = 0.0
        self._was_reset = threading.Event()

    @property
    def name(self) -> str:
        """What kind of card this is: not one to be served."""
        return f"{super().name}, FAILING ON PURPOSE as {self._path} says"

    def take(self, name: str) -> dict[str, Any] | None:
        """Count a fault down: its description where it is this call's turn to fail."""
        with self._faults_lock:
            self._read()
            for fault in self._faults:
                if fault["fault"] == name and fault["count"] > 0:
                    fault["count"] -= 1
                    return fault
        return None

    def _read(self) -> None:
        try:
            version = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if version != self._version:
            self._version = version
            faults = json.loads(self._path.read_text())
            self._faults = [{"count": 1, "seconds": 1.0, **f} for f in faults if f.get("card", self.tag) == self.tag]

    def require_present(self) -> None:
        """Fail as XRT does where the card is gone."""
        vanish = self.take("vanish")
        if vanish:
            self._gone_until_s = time.monotonic() + vanish["seconds"]
        if time.monotonic() < self._gone_until_s:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def _queue(self, engine: Engine, *, ranks: bool) -> CommandQueue:
        return ComputingQueue(self.tag, lambda call: self._compute(engine, call, ranks=ranks))

    def _compute(self, engine: Engine, call: KernelCall, *, ranks: bool) -> None:
        was_reset = self._was_reset
        self.require_present()
        if self.take("hang"):
            was_reset.wait()
            return
        slow = self.take("slow")
        if slow:
            time.sleep(slow["seconds"])
        if self._is_poisoned(call):
            raise RuntimeError("the run has an image that this card fails on")
        compute(engine, call, ranks=ranks)
        if self.take("wrong"):
            call.out[:, 0] ^= 1 << 20  # far above every logit, and no class at all

    def _is_poisoned(self, call: KernelCall) -> bool:
        with self._faults_lock:
            self._read()
            values = [fault["value"] for fault in self._faults if fault["fault"] == "poison"]
        return bool(np.isin(call.pixels[:, 0, 0, 0], values).any())

    def flush(self, bo: int, offset: int, ptr: int, size: int) -> None:
        """Copy to the device, or fail."""
        self.require_present()
        if self.take("sync_to_device"):
            raise RuntimeError("Flush Failed: 4294967291")  # as XrtDevice says it of -EIO
        super().flush(bo, offset, ptr, size)

    def invalidate(self, bo: int, offset: int, ptr: int, size: int) -> None:
        """Copy from the device, or fail."""
        self.require_present()
        if self.take("sync_from_device"):
            raise RuntimeError("Invalidate Failed: 4294967291")
        super().invalidate(bo, offset, ptr, size)

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Program the card, or fail."""
        self.require_present()
        if self.take("program"):
            raise RuntimeError("Programming Device failed: EBUSY (16)")
        super().download(bitstream, parser)

    def get_memory(self, description: dict[str, Any]) -> EmulatedBank:
        """A bank that may have no room."""
        return _FaultyBank(self, description)

    def get_memory_by_name(self, name: str) -> EmulatedBank:
        """A bank that may have no room."""
        self.programmed()
        return _FaultyBank(self, self.mem_dict[name])

    def reset_fpga(self) -> None:
        """Reset the card, which ends a hang, or fail."""
        self.require_present()
        super().reset_fpga()  # first, or the run behind the one that hangs would run
        self._was_reset.set()
        self._was_reset = threading.Event()


class _FaultyBank(EmulatedBank):
    def allocate(self, shape: Any, dtype: Any, cacheable: int = 0) -> Any:
        card: FaultyCard = self.device
        card.require_present()
        if card.take("allocate"):
            raise RuntimeError("Allocate failed: 4294967284")  # as XrtDevice says it of -ENOMEM
        return super().allocate(shape, dtype, cacheable)


_cards: dict[int, FaultyCard] = {}


def open_device(index: int, threads: int | None = None) -> FaultyCard:
    """The faulty card of this index.

    Args:
        threads: for its next programming; None leaves them as they are.

    Raises:
        BadParameter: the environment names no file of faults.
    """
    path = os.environ.get(ENVIRONMENT)
    if not path:
        raise BadParameter(
            f"card 'faulty:{index}': environment {ENVIRONMENT} is not set; it names the file of faults, and this card "
            f"is for tests only: to serve, name 'software:{index}'"
        )
    if index not in _cards:
        _cards[index] = FaultyCard(f"faulty:{index}", index, Path(path))
    card = _cards[index]
    if threads is not None:
        card.threads = threads
    return card


def reset_device(card: FaultyCard) -> None:
    """Bring the card back to its state before it was programmed, or fail."""
    card.reset_fpga()


def count_devices() -> int:
    """None: such cards are used only when named one by one."""
    return 0
