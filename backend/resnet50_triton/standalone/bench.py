"""The original project's synthetic benchmark: runs the kernel alone on pixels that are in the card's memory."""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from .. import published
from ..runtime.kernel import Kernel
from ..runtime.latency import measure_latency
from ..runtime.power import PowerMeter, PowerRecorder, open_meter
from ..weights import load_fc_weights
from ..xclbin.kernel_info import read_xclbin
from .default_card import default_card
from .opened import FIRST_RUN_S, open_kernel

_POWER_NAMES = {"fpga": "FPGA", "board": "Board", "cpu": "CPU"}
Style = Literal["lines", "table", "json"]


@dataclass(frozen=True)
class BenchResult:
    """`runs` runs of `batch_size` images each took `elapsed_s` together; `power_w`: mean W by what draws them."""

    batch_size: int
    runs: int
    elapsed_s: float
    power_w: Mapping[str, float]

    @property
    def images_per_s(self) -> float:
        """The rate."""
        return self.runs * self.batch_size / self.elapsed_s

    @property
    def latency_s(self) -> float:
        """Mean time of a run."""
        return self.elapsed_s / self.runs

    def as_dict(self) -> dict[str, Any]:
        """For programs, beside the published row where there is one."""
        row = published.row_of(self.batch_size)
        return {
            "batch_size": self.batch_size,
            "runs": self.runs,
            "images_per_s": round(self.images_per_s, 2),
            "latency_ms": round(1e3 * self.latency_s, 3),
            **{f"{name}_w": round(watts, 2) for name, watts in self.power_w.items()},
            "published": row
            and {
                "images_per_s": row.images_per_s,
                "latency_ms": round(1e3 * row.latency_s, 3),
                "fpga_w": row.fpga_w,
                "board_w": row.board_w,
            },
        }


def time_runs(kernel: Callable[[], Kernel], batch_size: int, timeout_s: float) -> Iterator[float]:
    """Run the kernel for as long as the caller asks; gives the seconds of each run. No data are moved.

    Args:
        kernel: gives the kernel before each run; nothing else of this process uses it meanwhile.
        batch_size: images in a run, at most the kernel's.
        timeout_s: how long a run may take.
    """
    while True:
        ours = kernel()
        begin_s = time.monotonic()
        ours.wait(ours.start(ours.buffers[0], batch_size), timeout_s)
        yield time.monotonic() - begin_s


def measure(
    kernel: Callable[[], Kernel],
    meter: PowerMeter,
    batch_size: int,
    runs: int,
    timeout_s: float = FIRST_RUN_S,
    seconds: float | None = None,
) -> BenchResult:
    """Run a batch size again and again, recording the power.

    Args:
        kernel: as for `time_runs`.
        meter: what tells the power.
        batch_size: images in a run.
        runs: how many.
        timeout_s: how long each may take.
        seconds: no run begins after so long; None for all of them.
    """
    done = 0
    with PowerRecorder(meter) as recorder:
        begin_s = time.monotonic()
        for _ in islice(time_runs(kernel, batch_size, timeout_s), runs):
            done += 1
            if seconds is not None and time.monotonic() - begin_s >= seconds:
                break
        elapsed_s = time.monotonic() - begin_s
    return BenchResult(batch_size, done, elapsed_s, recorder.mean_w())


def bench(
    xclbin: Path,
    fcweights: Path,
    shell: str,
    batch_sizes: Sequence[int],
    runs: int,
    *,
    seconds: float | None = None,
    card: str | None = None,
    style: Style = "lines",
) -> None:
    """Measure, and print.

    Args:
        xclbin: the xclbin.
        fcweights: the FC weights.
        shell: of the Alveo to use where there are several.
        batch_sizes: images in a run; each size is measured.
        runs: of each size.
        seconds: of each size, at most.
        card: instead of the one that the xclbin is for.
        style: the original's lines for each size, a table beside what was published, or that as JSON.
    """
    read = read_xclbin(xclbin)
    chosen = default_card(read, card, shell)
    weights = load_fc_weights(fcweights)
    with open_kernel("bench", read, weights, chosen, max(batch_sizes)) as shared:
        kernel = shared()
        print(f"Card: {kernel.description}", file=sys.stderr if style == "json" else sys.stdout, flush=True)
        latency, meter, results = measure_latency(kernel, FIRST_RUN_S), open_meter(kernel.device), []
        if style == "table":
            print(_TABLE_HEAD)
        for batch_size in batch_sizes:
            result = measure(shared, meter, batch_size, runs, latency.deadline_s(batch_size), seconds)
            results.append(result)
            if style != "json":
                print(_row(result) if style == "table" else _lines(result), flush=True)
        about = {"card": chosen, "device": kernel.device.name, "xclbin": str(read.path), "xclbin_uuid": read.uuid}
    if style == "json":
        date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        rows = [result.as_dict() for result in results]
        sources = {"power": meter.source, "published": published.LABEL}
        print(json.dumps({"date": date, **about, **sources, "rows": rows}, indent=2))
    else:
        print(f"Power is {meter.source}")


def _lines(result: BenchResult) -> str:
    """What the original printed."""
    return "\n".join(
        (
            f"Throughput: {int(result.images_per_s)} FPS",
            f"Latency: {round(result.latency_s * 1000, 2)} ms",
            *(f"{_POWER_NAMES[name]} Power: {round(watts, 2)} Watts" for name, watts in result.power_w.items()),
        )
    )


_COLUMNS = f"{'FPS':>8} {'ms':>8} {'FPGA W':>7} {'board W':>7}"
_TABLE_HEAD = (
    f"{'':6} {'measured here':^41} | published, a real U250\n{'batch':>6} {_COLUMNS} {'CPU W':>7} | {_COLUMNS}"
)


def _row(result: BenchResult) -> str:
    """A line of the table: measured, and what was published for that batch size."""
    power = " ".join(_cell(result.power_w.get(name), 7) for name in _POWER_NAMES)
    row = published.row_of(result.batch_size)
    theirs = (row.images_per_s, 1e3 * row.latency_s, row.fpga_w, row.board_w) if row else (None,) * 4
    ours = f"{result.batch_size:6} {_cell(result.images_per_s, 8)} {_cell(1e3 * result.latency_s, 8)} {power}"
    return f"{ours} | " + " ".join(_cell(value, width) for value, width in zip(theirs, (8, 8, 7, 7), strict=True))


def _cell(value: float | None, width: int) -> str:
    return f"{value:{width}.1f}" if value is not None else f"{'-':>{width}}"
