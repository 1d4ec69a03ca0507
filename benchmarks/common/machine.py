"""What every benchmark's JSON says of how it was made."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "bench"
SAMPLE = ROOT / "build" / "sample"
CORES = len(os.sched_getaffinity(0))
QUIET = 0.05  # of the cores, used by others: more disturbs a measurement
PACKAGES = ("resnet50-pynq-triton", "resnet50-client", "nvidia-pytriton", "tritonclient", "numpy")


def made(command: str, **versions: str) -> dict[str, Any]:
    """How a result came about: to be called before the measurement, for the load that others put on the machine.

    Args:
        command: what a reader types to make it again.
        versions: of programs that are no packages of this environment.
    """
    return {
        "command": command,
        "program": shlex.join(["python", os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu_model(), "cores": CORES, "load_average_before": round(os.getloadavg()[0], 2)},
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
            **versions,
        },
    }


def sample_images() -> list[Path]:
    """The sample's pictures."""
    return sorted((SAMPLE / "images").glob("*.JPEG"))


class Neighbours:
    """How much of the machine's cores others use from now on: whatever is neither this process nor one it started."""

    def __init__(self) -> None:
        self._start_s, self._busy_s, self._own_s = time.monotonic(), busy_s(), _own_s()

    def share(self) -> float:
        """From 0 to 1, since the beginning; to be asked when all processes that were started have ended."""
        theirs_s = (busy_s() - self._busy_s) - (_own_s() - self._own_s)
        return round(max(0.0, theirs_s) / (CORES * (time.monotonic() - self._start_s)), 3)

    def note(self, made: dict[str, Any]) -> None:
        """Put the share into a result's `made`, and say where it is too large to trust the figures."""
        made["machine"]["others_busy"] = self.share()
        if self.share() > QUIET:
            print(f"others used {self.share():.0%} of the cores meanwhile: measure again when the machine is quiet")


def busy_s() -> float:
    """Processor time that all programs of the machine have used, and what its host took from it."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _own_s() -> float:
    return sum(os.times()[:4])


def cpu_model() -> str:
    """The processor's name, as it gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def write_result(name: str, result: Mapping[str, Any]) -> Path:
    """Write build/bench/<name>.json and say so; `result` has the key `made`."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {path}")
    return path
