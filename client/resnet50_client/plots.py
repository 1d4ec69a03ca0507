"""Plots as SVG inside a page: no script, no other file. Their colours are variables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from resnet50_client.accuracy import Proportion

BARS = 40  # of a histogram
WIDTH = 480  # of a plot, in the units of its own; on a phone they are a little smaller than pixels


def intervals(proportions: Sequence[tuple[str, Proportion]]) -> str:
    """Shares with their 95 % intervals on one scale, 0 to 100 %."""
    known = [(name, p) for name, p in proportions if p.trials]
    foot, left, scale = 36 * len(known), 102, (WIDTH - 130) / 100
    lines = []
    for percent in range(0, 101, 20):
        x = left + scale * percent
        lines.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{foot}" stroke="var(--line)"/>')
        lines.append(f'<text x="{x}" y="{foot + 14}" text-anchor="middle">{percent} %</text>')
    for i, (name, p) in enumerate(known):
        y, (low, high) = 36 * i + 18, (left + 100 * scale * bound for bound in p.interval)
        lines.append(
            f'<text x="0" y="{y + 4}">{name} {100 * p.share:.1f} %</text>'
            f'<rect x="{low:.1f}" y="{y - 7}" width="{max(2, high - low):.1f}" height="14" '
            f'fill="var(--good)" opacity=".35"><title>{p.interval[0]:.2%} to {p.interval[1]:.2%}</title></rect>'
            f'<circle cx="{left + 100 * scale * p.share:.1f}" cy="{y}" r="4" fill="var(--good)"/>'
        )
    return svg(0, foot + 20, lines) if known else ""


def svg(top: int, height: int, lines: Sequence[str], width: int = WIDTH, attributes: str = "") -> str:
    """A drawing.

    Args:
        top: how far it reaches above 0.
        height: and below.
        lines: its elements.
        width: from 0 to the right.
        attributes: more of the element, such as its class.
    """
    return f'<svg viewBox="0 {-top} {width} {height + top}"{attributes} role="img">{"".join(lines)}</svg>'


def histogram(
    series: Sequence[tuple[str, str, npt.NDArray[np.float64]]],
    axis: str,
    marks: Sequence[tuple[str, float]] = (),
) -> str:
    """Bars of each series' share per bin, on one scale.

    Args:
        series: name, colour and values of each.
        axis: what the values are, with their unit.
        marks: names and places of lines to draw.
    """
    filled = [(name, colour, values) for name, colour, values in series if len(values)]
    if not filled:
        return ""
    everything = np.concatenate([values for _, _, values in filled])
    low, high = float(everything.min()), float(np.quantile(everything, 0.995))
    edges = np.linspace(low, high if high > low else low + 1, BARS + 1)
    shares = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] / len(v) for _, _, v in filled]
    tallest = max(float(share.max()) for share in shares)
    left, foot, bar = 66, 120, (WIDTH - 76) / BARS

    def at(value: float) -> float:
        return left + BARS * bar * min(1.0, (value - low) / float(edges[-1] - low))

    lines = []
    for level in (0.0, tallest / 2, tallest):
        y = foot - foot * level / tallest
        lines.append(f'<line x1="{left}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>')
        lines.append(f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{100 * level:.3g} %</text>')
    for (name, colour, _), share in zip(filled, shares, strict=True):
        for i, height in enumerate(share):
            if height:
                tip = f"{name}: {height:.1%} from {shown(float(edges[i]))} to {shown(float(edges[i + 1]))}"
                h = foot * height / tallest
                lines.append(
                    f'<rect x="{left + bar * i + 0.5:.1f}" y="{foot - h:.1f}" width="{bar - 1:.1f}" height="{h:.1f}" '
                    f'fill="var({colour})" opacity=".6"><title>{escape(tip)}</title></rect>'
                )
    for place in range(0, BARS + 1, BARS // 4):
        x, end = left + bar * place, {0: "start", BARS: "end"}.get(place, "middle")
        lines.append(f'<text x="{x:.1f}" y="{foot + 14}" text-anchor="{end}">{shown(float(edges[place]))}</text>')
    lines.append(f'<text x="{left + BARS * bar / 2}" y="{foot + 33}" text-anchor="middle">{escape(axis)}</text>')
    for i, (name, value) in enumerate(marks):
        x, y = at(value), 15 * (i - len(marks))
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{foot}" stroke="var(--ink)" stroke-dasharray="3"/>')
        end = "end" if x > WIDTH / 2 else "start"
        lines.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{end}">{name}</text>')
    key = ", ".join(
        f'<span style="color: var({colour})">{name}</span>: {len(v)}, median {shown(float(np.median(v)))}'
        for name, colour, v in filled
    )
    note = "; the bars are shares of each" if len(filled) > 1 else ""
    return f"{svg(15 * len(marks) + 16, foot + 40, lines)}<p>{key}{note}</p>"


def shown(value: object) -> str:
    """A number with the digits that count, anything else as text."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
