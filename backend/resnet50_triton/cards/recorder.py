"""The power that a card draws over time, recorded by PYNQ's DataRecorder from the card's rails."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from pynq.pl_server.xrt_device import XrtDevice
from pynq.pmbus import DataRecorder

INTERVAL_S = 0.1
_RAILS = ("12v_aux", "12v_pex", "vccint")


def power_source(device: Any, board_w: float) -> str:
    """Where a card's power figures come from, for reports.

    Args:
        device: PYNQ's device.
        board_w: what was read.
    """
    if not isinstance(device, XrtDevice):
        return "a model of a U250, not measured: this card has no FPGA"
    if board_w == 0:  # XRT's emulation has no sensors, and no card draws nothing
        return "not known: XRT reads nothing from this card's sensors"
    return "measured by the card's sensors"


class PowerRecorder:
    """Records a card's power while it is entered.

    The board's power is what it takes from both 12 V inputs; the little it takes from PCIe's 3.3 V is left out. The
    FPGA's is that of its core supply, vccint.

    Args:
        device: PYNQ's device.
        interval_s: between two readings.
    """

    def __init__(self, device: Any, interval_s: float = INTERVAL_S) -> None:
        rails = device.sensors
        self._recorder = DataRecorder(*(rails[name].power for name in _RAILS))
        self._interval_s = interval_s

    def frame(self) -> Any:
        """A pandas DataFrame of what was read so far: `board_power` and `fpga_power` in W, by time."""
        read = self._recorder.frame.copy()  # one look: the recording thread may be about to add a row
        power = read[[]].copy()
        power["board_power"] = read["12v_aux_power"] + read["12v_pex_power"]
        power["fpga_power"] = read["vccint_power"]
        return power

    def __enter__(self) -> PowerRecorder:
        self._recorder.record(self._interval_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._recorder.stop()
