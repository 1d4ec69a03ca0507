"""Runs on the bench: classifies while the device process misbehaves, and prints what that looks like from here.

    python fault_program.py FAULT TIMEOUT_S

A line of JSON for each step: its name, what came of it ("right", "wrong", or the error), and how long it took.
"before" is repeated until it is right, and so is "after" where the fault is one that goes away: a busy machine may miss
a deadline by itself.
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
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.ranking import top5
from resnet50_triton.runtime.kernel import Kernel

sys.path.append(str(Path(__file__).resolve().parent.parent))
from helpers import random_pixels, random_weights

BENCH = Path(os.environ["RESNET50_XRT_BENCH"])
PASSING = ("slow", "hold", "wrong")
LIMIT_S = 150.0
PIXELS = random_pixels(3, 2)


def main() -> None:
    fault, timeout_s = sys.argv[1], float(sys.argv[2])
    kernel = Kernel(os.environ["RESNET50_XRT_XCLBIN"], random_weights(2), "xrt:0", batch_size=2)
    network = Network.load(os.environ["RESNET50_XRT_NETWORK"])
    expected = top5(open_engine(network).logits(PIXELS, random_weights(2)))

    def classify() -> str:
        return "right" if np.array_equal(kernel.run(PIXELS, timeout_s).top5, expected) else "wrong"

    repeat("before", classify)
    if fault == "kill":
        (BENCH / "fault").write_text("hang")
        model = int((BENCH / "model.pid").read_text())
        threading.Timer(timeout_s / 2, os.kill, (model, signal.SIGKILL)).start()
    else:
        (BENCH / "fault").write_text(fault)
    step("during", classify)
    step("at once", classify)
    (BENCH / "fault").unlink()
    if fault.startswith(PASSING):
        repeat("after", classify)
    else:
        step("after", classify)
    kernel.close()
    os._exit(0)  # XRT's emulation would wait for a device process that has gone, or crash


def repeat(name: str, action: Callable[[], str]) -> None:
    """Take a step until it comes out right."""
    end_s = time.monotonic() + LIMIT_S
    while step(name, action) != "right" and time.monotonic() < end_s:
        time.sleep(0.1)


def step(name: str, action: Callable[[], str]) -> str:
    start_s = time.monotonic()
    try:
        outcome = action()
    except Resnet50Error as error:
        outcome = f"{type(error).__name__}: {error}"
    duration_s = time.monotonic() - start_s
    print(json.dumps({"step": name, "outcome": outcome, "duration_s": round(duration_s, 3)}), flush=True)
    return outcome


if __name__ == "__main__":
    main()
