"""A result as one page that needs nothing else: checks, plots, figures, and how they were made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.perf import plots
from benchmarks.perf.checks import median

CSS = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1a202c }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-size: .85rem } td, th { padding: .2rem .6rem; border-bottom: 1px solid #e2e8f0 }
th { text-align: left } td.n { text-align: right; font-variant-numeric: tabular-nums }
.met { color: #276749; font-weight: 600 } .not.met { color: #c53030 } svg { max-width: 100%; height: auto }
.wide { overflow-x: auto } .early { background: #fefcbf; padding: .5rem } p { max-width: 50rem }
"""
CARDS = (
    "The timing card takes an Alveo U250's published time and computes nothing: its figures are those of everything "
    "around a card. The software card computes on the CPU that the server and the client share with it."
)
_NUMBER = re.compile(r"[\d.]+( \([\d.]+-[\d.]+\))?")
PLOTS = (
    (
        "Throughput against latency",
        plots.throughput_against_latency,
        "Medians of the turns. The small numbers are the requests under way; up and to the left is better.",
    ),
    (
        "Time by stage",
        plots.time_by_stage,
        "Means, from perf_analyzer, Triton's counters and the model's own, for one image a request over gRPC. "
        "What the server does not see is the client's and the transport's.",
    ),
    (
        "Batch sizes reached",
        plots.batches_reached,
        "Images in a start of the card, where each request brings one.",
    ),
    ("Presets", plots.presets, "What each sets is below, and in docs/serving.md."),
)


def write_page(result: Mapping[str, Any], path: Path) -> None:
    """Write the page."""
    path.write_text(render(result))


def render(result: Mapping[str, Any]) -> str:
    """The page as HTML."""
    made = result["made"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>make bench, {escape(made['date'])}</title>",
        f"<style>{CSS}</style><h1>Load on the server, by perf_analyzer</h1>",
        f"<p>{escape(made['machine']['cpu'])}, {made['machine']['cores']} cores, {escape(made['date'])}. {CARDS}</p>",
    ]
    if not result["complete"]:
        parts.append("<p class=early>Ended early: this is what was measured until then.</p>")
    checks = [(c["what"], c["asked"], c["figure"], (c["verdict"], c["verdict"])) for c in result["checks"]]
    parts += ["<h2>Checks</h2>", _table(("", "asked", "figure", "verdict"), checks)]
    for title, plot, text in PLOTS:
        if svg := plot(result):
            parts.append(f"<h2>{title}</h2><p>{text}</p>{svg}")
    parts += [
        f"<h2>Figures</h2><p>Medians of {result['turns']} turns of {result['seconds']} s; in brackets the lowest "
        f"and the highest turn. JPEG: {escape(result['jpegs'])}.</p>",
        _table(
            ("server", "input", "transport", "images", "at once", "images/s", "p50, ms", "p99, ms", "batch"),
            (
                (
                    r["server"],
                    r["input"],
                    r["transport"],
                    r["batch"],
                    r["concurrency"],
                    *(spread(r[figure]) for figure in ("images_per_s", "p50_ms", "p99_ms")),
                    r["mean_batch"],
                )
                for r in result["rows"]
            ),
        ),
        "<h2>Servers</h2>",
        _table(("server", "set to"), result["setups"].items()),
        f"<h2>How it was made</h2><pre>{escape(json.dumps(made, indent=1))}</pre>",
    ]
    return "\n".join(parts)


def spread(values: list[float]) -> str:
    """Median, and the lowest and highest: "103 (99-105)"."""
    digits = 0 if max(values) >= 100 else 1 if max(values) >= 10 else 2
    middle = f"{median({'values': values}, 'values'):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A cell that is a pair has a class."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = ["".join(_cell(value) for value in row) for row in rows]
    return f"<div class=wide><table><tr>{cells}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table></div>"


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return f'<td class="{escape(value[1])}">{escape(value[0])}</td>'
    number = isinstance(value, (int, float)) or _NUMBER.fullmatch(value)
    return f"<td{' class=n' if number else ''}>{escape(str(value))}</td>"
