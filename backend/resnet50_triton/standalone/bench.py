"""The original project's synthetic benchmark: the kernel alone, again and again, on pixels that are in its memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..cards.recorder import PowerRecorder, power_source
from ..runtime.kernel import Kernel
from ..runtime.latency import measure_latency
from ..weights import load_fc_weights
from ..xclbin.kernel_info import read_xclbin
from .default_card import choose_card
from .shared import FIRST_START_S, open_kernel


@dataclass(frozen=True)
class BenchResult:
    """`reps` starts of `batch` images each took `elapsed_s` together; `power` as of PowerRecorder.frame()."""

    batch: int
    reps: int
    elapsed_s: float
    power: Any

    @property
    def fps(self) -> float:
        """Images per second."""
        return self.reps * self.batch / self.elapsed_s

    @property
    def latency_s(self) -> float:
        """Mean time of a start."""
        return self.elapsed_s / self.reps

    @property
    def board_w(self) -> float:
        """Mean power of the board."""
        return float(self.power["board_power"].mean())

    @property
    def fpga_w(self) -> float:
        """Mean power of the FPGA's core."""
        return float(self.power["fpga_power"].mean())


def time_starts(kernel: Kernel, batch: int) -> Iterator[float]:
    """Start the kernel for as long as the caller asks; gives the seconds of each start. No data are moved.

    Args:
        kernel: used by nothing else meanwhile.
        batch: images in a start, at most the kernel's max_batch.
    """
    while True:
        begin_s = time.monotonic()
        kernel.wait(kernel.start(kernel.buffers[0], batch), kernel.timeout_s)
        yield time.monotonic() - begin_s


def measure(kernel: Kernel, batch: int, reps: int) -> BenchResult:
    """Run `reps` starts of `batch` images, recording the power."""
    with PowerRecorder(kernel.device) as recorder:
        begin_s = time.monotonic()
        for _ in islice(time_starts(kernel, batch), reps):
            pass
        elapsed_s = time.monotonic() - begin_s
    return BenchResult(batch, reps, elapsed_s, recorder.frame())


def bench(xclbin: Path, fcweights: Path, shell: str, batch: int, reps: int, card: str | None = None) -> None:
    """Measure, and print what the original printed, below a line that names the card.

    Args:
        xclbin: the xclbin.
        fcweights: the FC weights.
        shell: of the Alveo to use where there are several.
        batch: images in a start.
        reps: starts.
        card: instead of the one that the image is for.
    """
    chosen = choose_card(read_xclbin(xclbin), card, shell)
    weights = load_fc_weights(fcweights)
    with open_kernel("bench", xclbin, weights, chosen, max_batch=batch, timeout_s=FIRST_START_S) as kernel:
        print(f"Card: {kernel.description}", flush=True)
        kernel.timeout_s = measure_latency(kernel).deadline_s(batch)  # a card that hangs is not waited for for ever
        result = measure(kernel, batch, reps)
        print(f"Throughput: {int(result.fps)} FPS")
        print(f"Latency: {round(result.latency_s * 1000, 2)} ms")
        print(f"FPGA Power: {round(result.fpga_w, 2)} Watts")
        print(f"Board Power: {round(result.board_w, 2)} Watts")
        print(f"Power is {power_source(kernel.device, result.board_w)}")
