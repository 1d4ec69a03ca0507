"""The original project's synthetic benchmark: runs the kernel alone on pixels that are in the card's memory."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from .. import published
from .opened import Measurement, open_kernel

_POWER_NAMES = {"fpga": "FPGA", "board": "Board", "cpu": "CPU"}
Style = Literal["lines", "table", "json"]


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
    with open_kernel(xclbin, fcweights, card, max(batch_sizes), shell=shell, command="bench") as kernel:
        print(f"Card: {kernel.description}", file=sys.stderr if style == "json" else sys.stdout, flush=True)
        results = []
        if style == "table":
            print(_TABLE_HEAD)
        for batch_size in batch_sizes:
            result = kernel.measure(batch_size, runs, seconds)
            results.append(result)
            if style != "json":
                print(_row(result) if style == "table" else _lines(result), flush=True)
    if style == "json":
        about = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "card": kernel.card,
            "device": kernel.device,
            "xclbin": str(kernel.xclbin.path),
            "xclbin_uuid": kernel.xclbin.uuid,
            "power": kernel.power_source,
            "published": published.LABEL,
        }
        print(json.dumps({**about, "rows": [_as_json(result) for result in results]}, indent=2))
    else:
        print(f"Power is {kernel.power_source}")


def _as_json(result: Measurement) -> dict[str, Any]:
    """A row for programs, beside the published row where there is one."""
    row = published.row_of(result.batch_size)
    return {
        "batch_size": result.batch_size,
        "runs": result.runs,
        "images_per_s": round(result.images_per_s, 2),
        "latency_ms": round(1e3 * result.latency_s, 3),
        **{f"{name}_w": round(watts, 2) for name, watts in result.power_w.items()},
        "published": row
        and {
            "images_per_s": row.images_per_s,
            "latency_ms": round(1e3 * row.latency_s, 3),
            "fpga_w": row.fpga_w,
            "board_w": row.board_w,
        },
    }


def _lines(result: Measurement) -> str:
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


def _row(result: Measurement) -> str:
    """A line of the table: measured, and what was published for that batch size."""
    power = " ".join(_cell(result.power_w.get(name), 7) for name in _POWER_NAMES)
    row = published.row_of(result.batch_size)
    theirs = (row.images_per_s, 1e3 * row.latency_s, row.fpga_w, row.board_w) if row else (None,) * 4
    ours = f"{result.batch_size:6} {_cell(result.images_per_s, 8)} {_cell(1e3 * result.latency_s, 8)} {power}"
    return f"{ours} | " + " ".join(_cell(value, width) for value, width in zip(theirs, (8, 8, 7, 7), strict=True))


def _cell(value: float | None, width: int) -> str:
    return f"{value:{width}.1f}" if value is not None else f"{'-':>{width}}"
