"""What every benchmark's JSON says of how it was made."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "build" / "bench"
SAMPLE = ROOT / "build" / "sample"
CORES = len(os.sched_getaffinity(0))
PACKAGES = ("resnet50-pynq", "resnet50-client", "nvidia-pytriton", "tritonclient", "numpy")


def made(command: str, **versions: str) -> dict[str, Any]:
    """How a result came about: to be called before the measurement, for the load that others put on the machine.

    Args:
        command: what a reader types to make it again.
        versions: of programs that are no packages of this environment.
    """
    return {
        "command": command,
        "program": shlex.join(["python", *sys.argv]),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu_model(), "cores": CORES, "load_average_before": round(os.getloadavg()[0], 2)},
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
            **versions,
        },
    }


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
