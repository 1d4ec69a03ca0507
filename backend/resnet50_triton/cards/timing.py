"""The timing card: takes as long as the published accelerator on an Alveo U250, and computes nothing.

For finding out what the host, the network and the server around a card can carry, without a card: the CPU stays free,
as with an Alveo. Its results are zeros. A run of b images takes 1.6 ms + 0.368 ms * b, a line through the published
figures; RESNET50_TIMING_MS="RUN,IMAGE" gives other milliseconds, as for another card or clock. Its power rails tell
what was published, too.

A run ends on the clock, without a thread of the card's own to wake up: the host learns of it by a timer in the
thread that waits, as it learns of an Alveo's by an interrupt. That thread waits for the last tenth of a millisecond
awake: the published time is from start to answer, and what this host takes to wake up would come on top of it.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from pynq.pmbus import get_xrt_sysfs_rails

from ..errors import BadParameter
from ..published import IMAGE_S, RUN_S, board_w, fpga_w
from ..xclbin.kernel_info import KernelInfo
from .call import KernelCall
from .commands import CommandQueue, RunHandle
from .emulated import EmulatedCard

ENVIRONMENT = "RESNET50_TIMING_MS"

_PR_SET_TIMERSLACK = 29
_SLACK_NS = 1  # instead of Linux's 50 us
_AWAKE_S = 1e-4
_LONGEST_MS = 1e4
_BOARD_MV = 12000
_VCCINT_MV = 850

_thread = threading.local()


def run_times() -> tuple[float, float]:
    """Seconds of a run, and of each image in it. Raises BadParameter where the environment's are no times."""
    text = os.environ.get(ENVIRONMENT)
    if not text:
        return RUN_S, IMAGE_S
    try:
        run_ms, image_ms = map(float, text.split(","))
    except ValueError:
        run_ms = image_ms = -1.0
    if not (0 <= run_ms <= _LONGEST_MS and 0 <= image_ms <= _LONGEST_MS and run_ms + image_ms > 0):
        raise BadParameter(
            f"environment {ENVIRONMENT} is '{text}', expected the milliseconds of a run and of an image, as "
            f"'{1e3 * RUN_S:g},{1e3 * IMAGE_S:g}', each at most {_LONGEST_MS:g}"
        )
    return run_ms / 1e3, image_ms / 1e3


@dataclass
class _Timed:
    call: KernelCall
    handle: RunHandle
    end_s: float


class TimedQueue(CommandQueue):
    """Runs that end when the card's time has passed; one begins where the one before it ends."""

    def __init__(self, card: str, run_s: float, image_s: float) -> None:
        super().__init__(card)
        self._run_s, self._image_s = run_s, image_s
        self.batch_size = 1  # of the run that was queued last
        self._pending: deque[_Timed] = deque()
        self._free_s = 0.0  # when the last run ends

    def _put(self, call: KernelCall, handle: RunHandle) -> None:
        self.batch_size = len(call.pixels)
        begin_s = max(time.monotonic(), self._free_s)
        self._free_s = begin_s + self._run_s + self._image_s * self.batch_size
        self._pending.append(_Timed(call, handle, self._free_s))

    def see(self, sequence: int, timeout_s: float | None) -> bool:
        """Wait until a run has finished, and note that the host has seen it. False where the time ran out."""
        _wake_in_time()
        limit_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while self._is_pending(sequence):
                due_s = self._pending[sequence - self._finished - 1].end_s
                left_s = min(due_s, due_s if limit_s is None else limit_s) - time.monotonic()
                if left_s <= 0 and limit_s is not None and limit_s < due_s:
                    return False
                if left_s > _AWAKE_S:
                    self._changed.wait(left_s - _AWAKE_S)
                else:
                    time.sleep(0)  # lets go of the GIL
            self._seen = max(self._seen, sequence)
            return True

    def _is_pending(self, sequence: int) -> bool:
        self._note_finished()
        return self._finished < sequence

    def _note_finished(self) -> None:
        while self._pending and self._pending[0].end_s <= time.monotonic():
            _compute(self._pending.popleft().call)
            self._finished += 1

    def stop(self, timeout_s: float) -> None:
        """Nothing: there is no thread to end."""

    def abandon(self) -> None:
        """Fail the runs that have not finished."""
        with self._changed:
            for run in self._pending:
                run.handle.error = self._reset_error()
            self._pending.clear()
            self._finished = self._submitted
            self._changed.notify_all()


def _compute(call: KernelCall) -> None:
    call.out[:] = 0


def _wake_in_time() -> None:
    """Let this thread's timers end when they are due: Linux may round them up, to wake a CPU up less often."""
    if not getattr(_thread, "is_prompt", False):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, _SLACK_NS, 0, 0, 0)
        _thread.is_prompt = True


class TimingCard(EmulatedCard):
    """A card that only takes the card's time; see the module. PYNQ does not list it."""

    power_source = "as published for a U250 at this batch size, not measured"

    def __init__(self, tag: str, index: int) -> None:
        self._times_s = run_times()
        super().__init__(tag, index)

    @property
    def name(self) -> str:
        """What kind of card this is, and how fast it pretends to be."""
        run_ms, image_ms = (1e3 * time_s for time_s in self._times_s)
        return f"timing card, computes nothing, takes {run_ms:g} ms + {image_ms:g} ms per image"

    @property
    def device_info(self) -> SimpleNamespace:
        """What PYNQ's rails read of XRT's xclDeviceInfo2, in mV and mA: the published power at the last batch size.

        The two 12 V inputs share the board's power evenly; the other rails are at their nominal voltages. Of an idle
        card nothing was published: it tells what it told before, and at first what was published for a batch of one.
        """
        batch_size = self._batch_size()
        board_ma = board_w(batch_size) / _BOARD_MV * 1e6
        return SimpleNamespace(
            m12VAux=_BOARD_MV,
            mAuxCurr=board_ma / 2,
            m12VPex=_BOARD_MV,
            mPexCurr=board_ma / 2,
            mVccIntVol=_VCCINT_MV,
            mCurrent=fpga_w(batch_size) / _VCCINT_MV * 1e6,
            m0v85=850,
            m12vSW=12000,
            m1v8Top=1800,
            m3v3Aux=3300,
            m3v3Pex=3300,
            mMgt0v9=900,
            mMgtVtt=1200,
            mSys5v5=5500,
        )

    @property
    def sensors(self) -> Any:
        """The power rails, as on XrtDevice."""
        return get_xrt_sysfs_rails(self)

    def _batch_size(self) -> int:
        commands = self._programmed.commands if self._programmed is not None else None
        return commands.batch_size if isinstance(commands, TimedQueue) else 1

    def _load(self, xclbin: KernelInfo) -> CommandQueue:  # noqa: ARG002
        return TimedQueue(self.tag, *self._times_s)


_cards: dict[int, TimingCard] = {}


def open_device(index: int, threads: int | None = None) -> TimingCard:  # noqa: ARG001  it needs no CPU
    """The timing card of this index."""
    if index not in _cards:
        _cards[index] = TimingCard(f"timing:{index}", index)
    return _cards[index]


def reset_device(card: TimingCard) -> None:
    """Bring the card back to its state before it was programmed."""
    card.reset_fpga()


def count_devices() -> int:
    """None: such cards are used only when named one by one."""
    return 0
