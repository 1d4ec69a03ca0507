"""Reads and records the power that a card draws.

An Alveo and the timing card have rails, as PYNQ names them. What a software card draws is the CPU's, which the kernel
tells under /sys/class/powercap where the CPU counts its energy, mostly to root alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

INTERVAL_S = 0.1
POWERCAP = Path("/sys/class/powercap")
_FPGA_RAIL = "vccint"
_BOARD_RAILS = ("12v_aux", "12v_pex")  # the little that it takes from PCIe's 3.3 V is left out


class PowerMeter:
    """Reads nothing: there is nothing to read.

    Attributes:
        source: where the figures come from, or why there are none, in words for a report: "Power is ...".
        is_of_card: whether they are the card's own, and not the machine's.
    """

    source = "not available"
    is_of_card = False

    def read_w(self) -> dict[str, float]:
        """W by what draws them: "fpga" and "board" of a card, "cpu" of the machine. Raises OSError."""
        return {}


class _Nothing(PowerMeter):
    def __init__(self, why: str) -> None:
        self.source = f"not available: {why}"


class _Rails(PowerMeter):
    """The rails of a card with an FPGA, or of one that stands for it."""

    is_of_card = True

    def __init__(self, device: Any) -> None:
        self._device = device
        self.source = getattr(device, "power_source", "measured by the card's sensors")

    def read_w(self) -> dict[str, float]:
        rails = self._device.sensors
        return {
            "fpga": float(rails[_FPGA_RAIL].power.value),
            "board": float(sum(rails[name].power.value for name in _BOARD_RAILS)),
        }


@dataclass
class _Counter:
    file: Path
    wraps_at_uj: int
    last_uj: int

    def step_uj(self) -> int:
        """What was added since the last look."""
        now_uj = int(self.file.read_text())
        step_uj, self.last_uj = now_uj - self.last_uj, now_uj
        return step_uj if step_uj >= 0 else step_uj + self.wraps_at_uj


class _Cpu(PowerMeter):
    """The CPU's packages, by their energy counters; a reading is the mean since the one before it.

    Raises:
        OSError: a counter cannot be read.
    """

    def __init__(self, zones: list[Path]) -> None:
        self._counters = [
            _Counter(
                zone / "energy_uj",
                int((zone / "max_energy_range_uj").read_text()),
                int((zone / "energy_uj").read_text()),
            )
            for zone in zones
        ]
        self._last_s = time.monotonic()
        self.source = "measured by the CPU's energy counters: the whole CPU's, with all that runs on it"

    def read_w(self) -> dict[str, float]:
        now_s = time.monotonic()
        joules = sum(counter.step_uj() for counter in self._counters) / 1e6
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        return {"cpu": joules / elapsed_s} if elapsed_s > 0 else {}


def open_meter(device: Any, powercap: Path = POWERCAP) -> PowerMeter:
    """A meter for a card's power; where it cannot be read, one that says why.

    Args:
        device: PYNQ's device.
        powercap: where the kernel tells of the CPU's energy.
    """
    if not hasattr(device, "sensors"):
        return _cpu_meter(powercap)
    rails = _Rails(device)
    if not rails.read_w()["board"]:  # XRT's emulation has no sensors, and no card draws nothing
        return _Nothing("XRT reads nothing from this card's sensors")
    return rails


def _cpu_meter(powercap: Path) -> PowerMeter:
    # Zones are named intel-rapl:N on AMD's CPUs, too; those below them (cores, memory) are parts of a package.
    zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if _name(zone).startswith("package-")]
    if not zones:
        return _Nothing(f"this card has no FPGA, and this machine no energy counter of the CPU ({powercap})")
    try:
        return _Cpu(zones)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return _Nothing(f"this card has no FPGA, and the CPU's energy counter cannot be read ({reason}; root may)")


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class PowerReading:
    """W at a moment, by what draws them; it stands for the seconds since the reading before it."""

    at_s: float  # since the recorder was entered
    covers_s: float
    watts: Mapping[str, float]


class PowerRecorder:
    """Reads a meter again and again while it is entered, and once more at the end.

    Raises, as it is left, what the last reading raised.

    Args:
        meter: what is read.
        interval_s: between two readings.
    """

    def __init__(self, meter: PowerMeter, interval_s: float = INTERVAL_S) -> None:
        self._meter = meter
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._record, name="power", daemon=True)
        self._error: Exception | None = None
        self.readings: list[PowerReading] = []

    def mean_w(self) -> dict[str, float]:
        """The mean of each over what was recorded; empty where nothing could be read."""
        seconds = sum(reading.covers_s for reading in self.readings)
        if not seconds:
            return {}
        names = self.readings[0].watts
        return {name: sum(r.watts[name] * r.covers_s for r in self.readings) / seconds for name in names}

    def _record(self) -> None:
        begin_s = last_s = time.monotonic()
        is_last = False
        while not is_last:
            is_last = self._ended.wait(self._interval_s)
            try:
                watts, now_s = self._meter.read_w(), time.monotonic()
            except Exception as error:  # lasts as long as it lasts: the next reading stands for the time since the last
                self._error = error
                continue
            self._error = None
            if watts:
                self.readings.append(PowerReading(now_s - begin_s, now_s - last_s, watts))
            last_s = now_s

    def __enter__(self) -> PowerRecorder:
        self._meter.read_w()  # a counter's readings begin here
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error
