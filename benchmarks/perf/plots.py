"""Plots as SVG: lines over the load, and bars. They load nothing, and equal figures give equal files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")  # Okabe and Ito's
WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 46
BAR, GAP = 18, 8


@dataclass(frozen=True)
class Line:
    """A line: points of (x, y), solid or dashed; lines of one `colour` belong together."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    is_dashed: bool = False


def lines(title: str, x_name: str, y_name: str, series: Sequence[Line], *, is_log: bool = False) -> str:
    """Lines over a logarithmic x axis; `is_log`: the y axis as well, from the lowest value's power of ten."""
    xs = sorted({x for line in series for x, _ in line.points})
    ys = [y for line in series for _, y in line.points]
    if not xs:
        return ""
    low, high = (10 ** math.floor(math.log10(min(ys))), max(ys)) if is_log else (0.0, max(ys))
    ticks = _powers(low, high) if is_log else _steps(high)
    high = max(high, ticks[-1])
    x_at = _scale(math.log(xs[0]), math.log(xs[-1]), LEFT + 8, WIDTH - RIGHT - 8)
    y_at = _scale(_log(low, is_log), _log(high, is_log), HEIGHT - BOTTOM, TOP + 28)
    parts = []
    for tick in ticks:
        y = y_at(_log(tick, is_log))
        parts += [_line(LEFT, y, WIDTH - RIGHT, y, "#ddd"), _text(LEFT - 6, y + 4, f"{tick:g}", "end")]
    parts += [_text(x_at(math.log(x)), HEIGHT - BOTTOM + 18, f"{x:g}", "middle") for x in xs]
    for line in series:
        points = " ".join(f"{x_at(math.log(x)):.1f},{y_at(_log(y, is_log)):.1f}" for x, y in line.points)
        dash = ' stroke-dasharray="5 4"' if line.is_dashed else ""
        colour = COLOURS[line.colour]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        for point in points.split():
            x, y = point.split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
    legend = {line.name: COLOURS[line.colour] for line in series if not line.is_dashed}
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 8, x_name, "middle"))
    parts.append(_text(LEFT - 50, TOP + 8, y_name, "start"))
    return _svg(title, HEIGHT, [*parts, *_legend(legend, TOP + 8, LEFT + 66)])


def bars(title: str, groups: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Horizontal bars: for each group one bar a name, with its value."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    high = max((value for group in groups.values() for value in group.values()), default=0.0)
    if not high:
        return ""
    left, y, parts = 190, TOP + 24.0, []
    for label, group in groups.items():
        parts.append(_text(left - 8, y + len(group) * BAR / 2 + 4, label, "end"))
        for name, value in group.items():
            width = (WIDTH - left - 90) * value / high
            parts.append(_bar(left, y, width, COLOURS[names.index(name)]))
            parts.append(_text(left + width + 5, y + BAR - 5, f"{value:.0f} {unit}", "start"))
            y += BAR
        y += GAP
    legend = {name: COLOURS[number] for number, name in enumerate(names)}
    return _svg(title, y + 6, [*parts, *_legend(legend, TOP + 8, left)])


def stacks(title: str, rows: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Horizontal bars of equal length, divided by the share of each part, with the sum at the end."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    left, y, parts = 190, TOP + 42.0, []
    for label, row in rows.items():
        total, x = sum(row.values()), float(left)
        parts.append(_text(left - 8, y + BAR - 5, label, "end"))
        for name in names:
            width = (WIDTH - left - 90) * row.get(name, 0.0) / total
            if width > 0:
                parts.append(_bar(x, y, width, COLOURS[names.index(name)]))
            x += width
        parts.append(_text(x + 5, y + BAR - 5, f"{total:.3g} {unit}", "start"))
        y += BAR + GAP / 2
    legend = {name: COLOURS[number] for number, name in enumerate(names)}
    return _svg(title, y + 8, [*parts, *_legend(legend, TOP + 8, 12)]) if rows else ""


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        'font-family="sans-serif" font-size="12" fill="#333">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height:.0f}" rx="6" fill="#fff"/>',
        f'<text x="12" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    return "\n".join([*lines, *parts, "</svg>"]) + "\n"


def _legend(entries: Mapping[str, str], y: float, x: float) -> list[str]:
    """Squares with names, in as many lines as they need."""
    parts, begin = [], x
    for name, colour in entries.items():
        width = 24 + 6.2 * len(name)
        if x + width > WIDTH - RIGHT:
            x, y = begin, y + 16
        parts += [f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{colour}"/>']
        parts.append(_text(x + 14, y, name, "start"))
        x += width
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR - 3}" fill="{colour}"/>'


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    """From values to pixels."""
    return lambda value: first + (last - first) * ((value - low) / (high - low) if high > low else 0.5)


def _log(value: float, is_log: bool) -> float:
    return math.log(value) if is_log else value


def _steps(high: float) -> list[float]:
    """Round numbers from 0 up to the highest value, at most seven."""
    step = 10 ** math.floor(math.log10(high)) / 2
    step *= next(factor for factor in (1, 2, 4, 10) if high / (step * factor) <= 6)
    return [step * i for i in range(math.ceil(high / step) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... that cover the values."""
    ticks = [m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)]
    above = next(tick for tick in ticks if tick >= high)
    return [tick for tick in ticks if low * 0.999 <= tick <= above]
