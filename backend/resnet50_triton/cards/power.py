"""A model of the power that an Alveo U250 draws; nothing here is measured.

The software card reports what an Alveo as busy as it would draw, so that code that records power runs without one.
The model is a straight line through the figures published for the accelerator, over the share of the time in which
images flow through its pipeline: at batch b a start lasts 1.6 ms + 0.368 ms * b, and they flow for 0.368 ms * b of it.
Against the published figures the line is off by at most 3.9 W (board) and 4.7 W (FPGA), both at batch 10.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

# Published with the accelerator: batch, board power (12v_aux + 12v_pex) and FPGA power (vccint) in W.
PUBLISHED = ((1, 29.5, 16.6), (10, 50.4, 33.7), (100, 68.8, 50.6), (1000, 70.8, 54.6))
START_S = 1.6e-3
IMAGE_S = 0.368e-3

WINDOW_S = 1.0  # readings are averages over this time
_BOARD_MV = 12000
_VCCINT_MV = 850


def flow(images: int) -> float:
    """The share of a start of so many images during which they flow through the pipeline, 0..1."""
    return IMAGE_S * images / (START_S + IMAGE_S * images)


_FLOWS = [flow(batch) for batch, _, _ in PUBLISHED]
_BOARD_SLOPE_W, _BOARD_IDLE_W = (float(x) for x in np.polyfit(_FLOWS, [row[1] for row in PUBLISHED], 1))
_FPGA_SLOPE_W, _FPGA_IDLE_W = (float(x) for x in np.polyfit(_FLOWS, [row[2] for row in PUBLISHED], 1))


def board_w(share: float) -> float:
    """The board's power where images flow for this share of the time, 0..1."""
    return _BOARD_IDLE_W + _BOARD_SLOPE_W * share


class PowerModel:
    """Follows how busy a card is, and tells what an Alveo would draw; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._created_s = clock()
        self._starts: deque[tuple[float, float, float]] = deque()  # begin, end, flow
        self._running: tuple[float, float] | None = None  # begin, flow
        self._lock = threading.Lock()

    def begin(self, images: int) -> None:
        """A start of so many images begins."""
        with self._lock:
            self._running = (self._clock(), flow(images))

    def end(self) -> None:
        """The start that began last has finished."""
        with self._lock:
            if self._running is not None:
                begin, share = self._running
                self._starts.append((begin, self._clock(), share))
                self._running = None
                self._forget()

    def add(self, begin_s: float, end_s: float, images: int) -> None:
        """A start of so many images from one moment to another, which may be yet to come."""
        with self._lock:
            self._forget()
            self._starts.append((begin_s, end_s, flow(images)))

    def utilisation(self) -> float:
        """The average flow over the last second, 0..1."""
        with self._lock:
            self._forget()
            now = self._clock()
            since = max(now - WINDOW_S, self._created_s)
            starts = [*self._starts, *([(self._running[0], now, self._running[1])] if self._running else [])]
            busy = sum(max(0.0, min(end, now) - max(begin, since)) * share for begin, end, share in starts)
            return busy / (now - since) if now > since else 0.0

    def board_w(self) -> float:
        """The board's power by the model."""
        return board_w(self.utilisation())

    def fpga_w(self) -> float:
        """The FPGA core's power by the model."""
        return _FPGA_IDLE_W + _FPGA_SLOPE_W * self.utilisation()

    def device_info(self) -> SimpleNamespace:
        """The fields of XRT's xclDeviceInfo2 that `pynq.pmbus` reads, in mV and mA.

        The two 12 V inputs share the board's power evenly; the other rails are at their nominal voltages.
        """
        board_ma = self.board_w() / _BOARD_MV * 1e6
        return SimpleNamespace(
            m12VAux=_BOARD_MV,
            mAuxCurr=board_ma / 2,
            m12VPex=_BOARD_MV,
            mPexCurr=board_ma / 2,
            mVccIntVol=_VCCINT_MV,
            mCurrent=self.fpga_w() / _VCCINT_MV * 1e6,
            m0v85=850,
            m12vSW=12000,
            m1v8Top=1800,
            m3v3Aux=3300,
            m3v3Pex=3300,
            mMgt0v9=900,
            mMgtVtt=1200,
            mSys5v5=5500,
        )

    def _forget(self) -> None:
        while self._starts and self._starts[0][1] < self._clock() - WINDOW_S:
            self._starts.popleft()
