"""The plots of a result, as SVG to be put into a page."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.perf.cases import GRPC, JPEG, PIXELS, PRESETS, SHARED, SOFTWARE, TIMING, TRANSPORTS
from benchmarks.perf.checks import find, median

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "font.size": 9,
    "svg.hashsalt": "resnet50",  # the same plot is the same file
}
_TICKS = [factor * 10.0**power for power in range(-2, 6) for factor in (1, 2, 5)]
STAGE_COLORS = {
    "client and transport": "#9aa5b1",
    "wait for a decoder": "#fbd38d",
    "decode": "#dd6b20",
    "wait for a batch": "#bee3f8",
    "copy to the card": "#3182ce",
    "wait, hand over": "#c6f6d5",
    "kernel": "#2f855a",
}


def throughput_against_latency(result: Mapping[str, Any]) -> str:
    """A panel for each card and input; a line for each transport, its points labelled with the concurrency."""
    return _panels(
        [
            (
                f"{setup.name} card, {kind}",
                {t: find(result, server=setup.name, input=kind, transport=t) for t in TRANSPORTS},
            )
            for setup in (TIMING, SOFTWARE)
            for kind in (PIXELS, JPEG)
        ]
    )


def presets(result: Mapping[str, Any]) -> str:
    """The timing card over shared memory, a line for each preset."""
    setups = (TIMING, *PRESETS)
    rows = {s.name: find(result, server=s.name, input=PIXELS, transport=SHARED, batch=1) for s in setups}
    return _panels([("timing card, PIXELS over shared memory, one image a request", rows)])


def _panels(panels: list[tuple[str, dict[str, list[dict[str, Any]]]]]) -> str:
    panels = [(title, lines) for title, lines in panels if any(lines.values())]
    if not panels:
        return ""
    columns = min(2, len(panels))
    figure, axes = _figure(-(-len(panels) // columns), columns, 3.2)
    for axis, (title, lines) in zip(axes, panels, strict=False):
        for number, (label, rows) in enumerate(lines.items()):
            for batch, of_batch in _by(rows, "batch"):
                x, y = ([median(row, figure_) for row in of_batch] for figure_ in ("p50_ms", "images_per_s"))
                name = label if batch == 1 else f"{label}, {batch} images a request"
                axis.plot(x, y, "o-" if batch == 1 else "s--", color=f"C{number}", label=name, markersize=4)
                for row, x_, y_ in zip(of_batch, x, y, strict=True):
                    axis.annotate(row["concurrency"], (x_, y_), (3, 3), textcoords="offset points", fontsize=7)
        axis.set(title=title, xlabel="median latency, ms", ylabel="images/s", ylim=(0, None))
        _logarithmic(axis.xaxis, [median(row, "p50_ms") for rows in lines.values() for row in rows])
        axis.legend(fontsize=7)
    return _svg(figure)


def time_by_stage(result: Mapping[str, Any]) -> str:
    """A bar for each load over gRPC with one image a request."""
    wanted = [(s, kind) for s in (TIMING, SOFTWARE) for kind in (PIXELS, JPEG)]
    rows = [row for s, kind in wanted for row in find(result, server=s.name, input=kind, transport=GRPC, batch=1)][::-1]
    if not rows:
        return ""
    figure, (axis,) = _figure(1, 1, 0.9 + 0.27 * len(rows))
    ends = [0.0] * len(rows)
    for stage, color in STAGE_COLORS.items():
        # In shares, because a loaded card's milliseconds would leave nothing to see of an idle one's.
        widths = [100 * row["stages_ms"].get(stage, 0.0) / sum(row["stages_ms"].values()) for row in rows]
        if any(widths):
            axis.barh(range(len(rows)), widths, left=ends, color=color, label=stage)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for place, row in enumerate(rows):
        axis.annotate(f"{sum(row['stages_ms'].values()):.1f} ms", (101, place), va="center", fontsize=8)
    names = [f"{row['server']}, {row['input']}, {row['concurrency']} at once" for row in rows]
    axis.set(xlabel="share of a request's mean time, %", xlim=(0, 112))
    axis.set_yticks(range(len(rows)), names)
    figure.legend(fontsize=7, ncols=7, loc="outside lower center")
    return _svg(figure)


def batches_reached(result: Mapping[str, Any]) -> str:
    """The mean batch on the card against the images under way, a line for each server and input."""
    figure, (axis,) = _figure(1, 1, 3.4)
    drawn = []
    for setup in (TIMING, *PRESETS, SOFTWARE):
        for kind in (PIXELS, JPEG):
            transport = SHARED if setup in PRESETS else GRPC
            rows = find(result, server=setup.name, input=kind, transport=transport, batch=1)
            if rows:
                drawn += rows
                sizes = [row["mean_batch"] for row in rows]
                axis.plot(
                    [row["concurrency"] for row in rows], sizes, "o-", label=f"{setup.name}, {kind}", markersize=4
                )
    if not drawn:
        return ""
    axis.set(xlabel="requests under way, of one image", ylabel="images in a start, mean")
    _logarithmic(axis.xaxis, [row["concurrency"] for row in drawn])
    _logarithmic(axis.yaxis, [row["mean_batch"] for row in drawn])
    axis.legend(fontsize=7)
    return _svg(figure)


def _logarithmic(axis: Any, values: list[float]) -> None:
    """A logarithmic axis whose ticks are plain numbers: 1, 2, 5, 10, ..."""
    low, high = min(values) / 1.25, max(values) * 1.25
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)
    axis.axes.set(**{f"{axis.axis_name}lim": (low, high)})


def _by(rows: Iterable[dict[str, Any]], key: str) -> Iterable[tuple[Any, list[dict[str, Any]]]]:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups.items()


def _figure(rows: int, columns: int, row_height: float) -> tuple[Figure, Any]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.5, row_height * rows), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :]
