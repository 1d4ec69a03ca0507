"""Where a card's power is read, and its recording. The CPU's counters are made-up files: few machines let a test read
them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from resnet50_triton.runtime.power import PowerMeter, PowerRecorder, open_meter

NO_FPGA = SimpleNamespace()


def zone(powercap: Path, number: str, name: str, energy_uj: int = 0) -> Path:
    folder = powercap / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text("1000000\n")
    return folder / "energy_uj"


def test_packages_are_added_up_and_their_parts_are_not(tmp_path: Path) -> None:
    packages = [zone(tmp_path, "0", "package-0"), zone(tmp_path, "1", "package-1")]
    parts = [zone(tmp_path, "0:0", "core"), zone(tmp_path, "2", "psys")]
    meter = open_meter(NO_FPGA, tmp_path)
    begin_s = time.monotonic()
    meter.read_w()
    for file in (*packages, *parts):
        file.write_text("300000")
    time.sleep(0.05)
    watts = meter.read_w()["cpu"]
    assert 0.6 / (time.monotonic() - begin_s) <= watts <= 0.6 / 0.05
    assert not meter.is_of_card
    assert "CPU's energy counters" in meter.source


def test_a_counter_that_begins_anew(tmp_path: Path) -> None:
    file = zone(tmp_path, "0", "package-0", 900_000)
    meter = open_meter(NO_FPGA, tmp_path)
    time.sleep(0.02)
    file.write_text("100000")  # 0.2 J later
    assert 0 < meter.read_w()["cpu"] <= 0.2 / 0.02


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_that_only_root_may_read(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0").chmod(0)
    meter = open_meter(NO_FPGA, tmp_path)
    assert meter.read_w() == {}
    assert meter.source.startswith("not available: ")
    assert "Permission denied; root may" in meter.source


def test_a_counter_that_is_no_number(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0").write_text("")
    assert open_meter(NO_FPGA, tmp_path).source.startswith("not available: ")


class Rising(PowerMeter):
    """1, 2, 3, ... W."""

    value = 0.0

    def read_w(self) -> dict[str, float]:
        self.value += 1.0
        return {"board": self.value}


def test_a_recording_covers_the_time() -> None:
    with PowerRecorder(Rising(), interval_s=0.01) as recorder:
        begin_s = time.monotonic()
        time.sleep(0.2)
        took_s = time.monotonic() - begin_s
    covered_s = sum(reading.covers_s for reading in recorder.readings)
    assert covered_s == pytest.approx(recorder.readings[-1].at_s)
    assert covered_s >= 0.9 * took_s
    watts = [reading.watts["board"] for reading in recorder.readings]
    assert watts == sorted(watts)
    assert watts[0] < recorder.mean_w()["board"] < watts[-1]


def test_a_recording_shorter_than_its_interval_has_a_reading() -> None:
    with PowerRecorder(Rising(), interval_s=60) as recorder:
        pass
    assert recorder.mean_w() == {"board": 2.0}


def test_nothing_to_read() -> None:
    with PowerRecorder(PowerMeter(), interval_s=0.01) as recorder:
        time.sleep(0.03)
    assert recorder.mean_w() == {}


def test_a_sensor_that_fails_is_told() -> None:
    class Broken(Rising):
        def read_w(self) -> dict[str, float]:
            if self.value > 1:
                raise OSError("the card is gone")
            return super().read_w()

    with pytest.raises(OSError, match="the card is gone"), PowerRecorder(Broken(), interval_s=0.01):
        time.sleep(0.05)


def test_a_sensor_that_fails_once_is_read_again() -> None:
    class FailsOnce:
        reads = 0

        def read_w(self) -> dict[str, float]:
            self.reads += 1
            if self.reads == 2:  # the first of the recorder's thread
                raise OSError("made by the test")
            return {"board": 20.0}

    meter = FailsOnce()
    with PowerRecorder(meter, interval_s=0.001) as recorder:  # type: ignore[arg-type]
        while meter.reads < 4:
            time.sleep(0.001)
    assert recorder.mean_w() == {"board": 20.0}
    assert recorder.readings[0].covers_s > 0.001  # with the time of the one that failed
