"""Runs on the bench: classifies while the device process misbehaves, and prints what that looks like from here.

    python fault_program.py FAULT TIMEOUT_S

A line of JSON for each step: its name, what came of it ("right", "wrong", or the error), and how long it took.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from resnet50_triton.errors import Resnet50Error
from resnet50_triton.runtime.kernel import Kernel

sys.path.append(str(Path(__file__).resolve().parent.parent))
from helpers import random_pixels, random_weights

BENCH = Path(os.environ["RESNET50_XRT_BENCH"])
PIXELS = random_pixels(3, 2)


def main() -> None:
    fault, timeout_s = sys.argv[1], float(sys.argv[2])
    kernel = Kernel(os.environ["RESNET50_XRT_XCLBIN"], random_weights(2), "xrt:0", max_batch=2, timeout_s=timeout_s)
    expected = kernel.run(PIXELS).top5

    def classify() -> str:
        return "right" if np.array_equal(kernel.run(PIXELS).top5, expected) else "wrong"

    step("before", classify)
    if fault == "kill":
        (BENCH / "fault").write_text("hang")
        model = int((BENCH / "model.pid").read_text())
        threading.Timer(timeout_s / 2, os.kill, (model, signal.SIGKILL)).start()
    else:
        (BENCH / "fault").write_text(fault)
    step("during", classify)
    step("at once", classify)
    (BENCH / "fault").unlink()
    if fault.startswith("slow"):
        time.sleep(float(fault.split()[1]))
    step("after", classify)
    kernel.close()
    os._exit(0)  # XRT's emulation would wait for a device process that has gone, or crash


def step(name: str, action: Callable[[], str]) -> None:
    start_s = time.monotonic()
    try:
        outcome = action()
    except Resnet50Error as error:
        outcome = f"{type(error).__name__}: {error}"
    duration_s = time.monotonic() - start_s
    print(json.dumps({"step": name, "outcome": outcome, "duration_s": round(duration_s, 3)}), flush=True)


if __name__ == "__main__":
    main()
