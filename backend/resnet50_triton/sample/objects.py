"""Drawings of things. Each takes a generator and a size, and returns an image (H, W, 3)."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Colour, Field, Pen, arc, blend, colour, near, noise, ramp, shade, turned


def _spots(rng: np.random.Generator, width: int, height: int, count: int, radius: float) -> list[tuple[float, float]]:
    """Up to `count` places at least two radii apart, with most of a disc of `radius` inside the picture."""
    places: list[tuple[float, float]] = []
    for _ in range(40 * count):
        x, y = rng.uniform(0.75 * radius, width - 0.75 * radius), rng.uniform(0.75 * radius, height - 0.75 * radius)
        if all(math.hypot(x - px, y - py) > 2.05 * radius for px, py in places):
            places.append((x, y))
        if len(places) == count:
            break
    return places


def wall_clock(rng: np.random.Generator, width: int, height: int) -> Field:
    """A round dial with twelve marks and two hands on a plain wall."""
    wall = near(rng, rng.random(), 0.3, 0.72)
    pen = Pen(blend(shade(wall, 0.85), wall, noise(rng, width, height, 2)))
    radius = min(width, height) * rng.uniform(0.34, 0.47)
    x, y = width * rng.uniform(0.44, 0.56), height * rng.uniform(0.45, 0.55)
    pen.disc(x + radius * 0.05, y + radius * 0.07, radius * 1.02, shade(wall, 0.6))
    pen.disc(x, y, radius, near(rng, rng.random(), 0.6, 0.3, shades=0.15))
    pen.disc(x, y, radius * 0.9, near(rng, 0.13, 0.05, 0.96, shades=0.04))
    turn, ink = rng.uniform(-0.1, 0.1), (30, 30, 34)
    for k in range(60):
        angle, hour = turn + k * math.tau / 60, k % 5 == 0
        mark = [((0.7 if hour else 0.8) * radius, 0.0), (0.84 * radius, 0.0)]
        pen.line(turned(mark, x, y, angle), ink, radius * (0.045 if hour else 0.012))
    for reach, thick in ((0.48, 0.07), (0.72, 0.045)):
        pen.line(turned([(-0.1 * radius, 0), (reach * radius, 0)], x, y, rng.uniform(0, math.tau)), ink, radius * thick)
    pen.line(
        turned([(-0.2 * radius, 0), (0.78 * radius, 0)], x, y, rng.uniform(0, math.tau)), (200, 30, 30), radius * 0.02
    )
    pen.disc(x, y, radius * 0.06, (200, 30, 30))
    return pen.finish()


PIPS = {
    1: [(0, 0)],
    2: [(-1, -1), (1, 1)],
    3: [(-1, -1), (0, 0), (1, 1)],
    4: [(-1, -1), (-1, 1), (1, -1), (1, 1)],
    5: [(-1, -1), (-1, 1), (1, -1), (1, 1), (0, 0)],
    6: [(-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)],
}


def dice(rng: np.random.Generator, width: int, height: int) -> Field:
    """White dice with black pips on felt."""
    felt = near(rng, rng.choice([0.38, 0.6, 0.97]), 0.75, 0.42, 0.03)
    pen = Pen(blend(shade(felt, 0.75), felt, noise(rng, width, height, 3) * 0.6 + noise(rng, width, height, 90) * 0.4))
    size = min(width, height) * rng.uniform(0.15, 0.24)
    for x, y in _spots(rng, width, height, int(rng.integers(2, 5)), size * 1.25):
        angle = rng.uniform(0, math.tau)
        ivory = near(rng, 0.12, 0.05, 0.96, shades=0.03)
        corner = [(0.75 + px, 0.75 + py) for px, py in arc(0.25, 0.25, 0, math.pi / 2, 8)]
        outline = [p for k in range(4) for p in turned(corner, 0, 0, k * math.pi / 2)]
        pen.polygon(turned(outline, x + size * 0.12, y + size * 0.16, angle, size), shade(felt, 0.45))
        pen.polygon(turned(outline, x, y, angle, size), shade(ivory, 0.8))
        pen.polygon(turned(outline, x - size * 0.04, y - size * 0.05, angle, size * 0.94), ivory)
        for px, py in turned([(a * 0.52, b * 0.52) for a, b in PIPS[int(rng.integers(1, 7))]], x, y, angle, size):
            pen.disc(px, py, size * 0.17, (25, 25, 30))
    return pen.finish()


def archery_target(rng: np.random.Generator, width: int, height: int) -> Field:
    """White, black, blue, red and gold rings on straw, with arrows."""
    straw = near(rng, rng.choice([0.12, 0.27]), 0.45, 0.65, 0.03)
    pen = Pen(blend(shade(straw, 0.7), straw, noise(rng, width, height, 60, stretch=0.25)))
    radius = min(width, height) * rng.uniform(0.36, 0.5)
    x, y = width * rng.uniform(0.42, 0.58), height * rng.uniform(0.42, 0.58)
    rings: list[Colour] = [(245, 245, 240), (30, 30, 30), (60, 140, 215), (215, 45, 45), (250, 215, 60)]
    light = rng.uniform(0.8, 1.05)
    for k, tone in enumerate(rings):
        pen.disc(x, y, radius * (1 - 0.2 * k), shade(tone, light))
        line = (200, 200, 200) if k == 1 else (60, 60, 60)
        pen.line(turned(arc(1, 1), x, y, 0.0, radius * (0.9 - 0.2 * k)), line, radius * 0.008)
    for _ in range(int(rng.integers(0, 4))):
        (tip_x, tip_y), angle = rng.normal((x, y), 0.3 * radius), rng.uniform(0.2, 0.7)
        pen.line(turned([(0, 0), (radius * 0.4, 0)], tip_x, tip_y, angle), (110, 80, 50), radius * 0.025)
        feather = [
            (radius * 0.3, -radius * 0.05),
            (radius * 0.42, -radius * 0.06),
            (radius * 0.42, radius * 0.06),
            (radius * 0.3, radius * 0.05),
        ]
        pen.polygon(turned(feather, tip_x, tip_y, angle), near(rng, rng.random(), 0.8, 0.9))
    return pen.finish()


def citrus_slices(rng: np.random.Generator, width: int, height: int) -> Field:
    """Round slices of orange, lemon, lime or grapefruit on a plate or cloth."""
    cloth = near(rng, rng.random(), 0.25, 0.85)
    pen = Pen(blend(shade(cloth, 0.85), cloth, noise(rng, width, height, 4, octaves=2)))
    radius = min(width, height) * rng.uniform(0.2, 0.3)
    for x, y in _spots(rng, width, height, int(rng.integers(2, 6)), radius):
        hue, turn, count = rng.choice([0.01, 0.085, 0.085, 0.15, 0.24]), rng.random(), int(rng.integers(8, 12))
        peel = near(rng, hue + 0.01, 0.85, 0.9, 0.01, 0.05)
        pen.disc(x + radius * 0.05, y + radius * 0.08, radius, shade(cloth, 0.65))
        pen.disc(x, y, radius, peel)
        pen.disc(x, y, radius * 0.9, near(rng, hue, 0.15, 0.99, shades=0.02))
        for k in range(count):
            half = math.pi / count * 0.86
            wedge = [(0.1, 0.0), *((0.8 * px, 0.8 * py) for px, py in arc(1, 1, -half, half, 10))]
            flesh = near(rng, hue, 0.75, 0.97, 0.008, 0.05)
            pen.polygon(turned(wedge, x, y, (k + turn) * math.tau / count, radius), flesh)
            inner = [(0.25, 0.0), *((0.68 * px, 0.68 * py) for px, py in arc(1, 1, -half * 0.6, half * 0.6, 8))]
            pen.polygon(turned(inner, x, y, (k + turn) * math.tau / count, radius), shade(flesh, 1.07))
    return pen.finish()


def toadstools(rng: np.random.Generator, width: int, height: int) -> Field:
    """Red caps with white spots on a forest floor."""
    moss = near(rng, 0.28, 0.55, 0.3, 0.05)
    picture = ramp(width, height, [(0, shade(moss, 0.55)), (0.6, shade(moss, 1.0)), (1, shade(moss, 1.4))])
    pen = Pen(picture * (0.7 + 0.6 * noise(rng, width, height, 18, octaves=2))[..., None])
    side = min(width, height)
    for size in np.sort(rng.uniform(0.13, 0.27, int(rng.integers(2, 5)))) * side:
        x, y, lean = rng.uniform(0.12, 0.88) * width, rng.uniform(0.35, 0.68) * height, rng.uniform(-0.25, 0.25)
        stem, cap = near(rng, 0.12, 0.1, 0.93), near(rng, 0.0, 0.88, 0.85, 0.02)
        pen.polygon(turned([(-0.2, 0), (0.2, 0), (0.3, 1.3), (-0.3, 1.3)], x, y, lean, size), stem)
        pen.polygon(turned([(0.05, 0), (0.2, 0), (0.3, 1.3), (0.1, 1.3)], x, y, lean, size), shade(stem, 0.8))
        pen.polygon(turned([*arc(1.0, 0.85, math.pi, math.tau), *arc(1.0, 0.18, 0, math.pi)], x, y, lean, size), cap)
        for spot in rng.uniform(-0.75, 0.75, 9):
            rise = -rng.uniform(0.08, 0.95) * 0.8 * math.sqrt(1 - spot**2)
            dot = [(spot + px, rise + py) for px, py in arc(rng.uniform(0.06, 0.13), 0.07)]
            pen.polygon(turned(dot, x, y, lean, size), (250, 246, 238))
    return pen.finish()


def gift_boxes(rng: np.random.Generator, width: int, height: int) -> Field:
    """Presents wrapped in bright paper with a ribbon and a bow."""
    table = near(rng, 0.09, 0.3, 0.8, 0.04)
    pen = Pen(
        ramp(width, height, [(0, colour(rng.random(), 0.15, 0.95)), (0.55, shade(table, 1.1)), (1, shade(table, 0.8))])
    )
    side = min(width, height)
    count = int(rng.integers(1, 4))
    for i in range(count):
        size = min(rng.uniform(0.26, 0.46) * side, 0.8 * width / count)
        x = (i + 0.5 + rng.uniform(-0.1, 0.1)) / count * width
        base, tall = rng.uniform(0.72, 0.95) * height, size * rng.uniform(0.7, 1.2)
        hue = rng.random()
        paper, ribbon = near(rng, hue, 0.75, 0.8), near(rng, hue + rng.uniform(0.3, 0.7), 0.65, 0.97)
        pen.box(x - size / 2, base - tall, x + size / 2, base, paper)
        pen.box(x + size * 0.25, base - tall, x + size / 2, base, shade(paper, 0.85))
        pen.box(x - size * 0.55, base - tall - size * 0.18, x + size * 0.55, base - tall, shade(paper, 1.12))
        pen.box(x - size * 0.08, base - tall - size * 0.18, x + size * 0.08, base, ribbon)
        top = base - tall - size * 0.18
        for mirror in (-1, 1):
            loop = [(0.22 + px, py - 0.1) for px, py in arc(0.22, 0.13)]
            pen.polygon(turned([(px * mirror, py) for px, py in loop], x, top, mirror * -0.35, size), ribbon)
            hole = [(0.22 + px, py - 0.1) for px, py in arc(0.13, 0.06)]
            pen.polygon(
                turned([(px * mirror, py) for px, py in hole], x, top, mirror * -0.35, size), shade(ribbon, 0.6)
            )
        pen.disc(x, top - size * 0.03, size * 0.08, shade(ribbon, 0.9))
    return pen.finish()
