"""Drawings of places. Each takes a generator and a size, and returns an image (H, W, 3)."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Field, Pen, Point, arc, blend, clouds, colour, grid, near, noise, ramp, shade, step, turned


def _ridge(rng: np.random.Generator, width: int, base: float, rise: float, bumps: float, octaves: int) -> Field:
    """The y of a skyline at every x, wandering `rise` above and below `base`; both in pixels."""
    line = np.zeros(width)
    for octave in range(octaves):
        count = max(3, round(bumps * 2**octave) + 2)
        line += np.interp(np.arange(width), np.linspace(0, width, count), rng.uniform(-1, 1, count)) * 0.55**octave
    return base + rise * line


def _below(line: Field, width: int, height: int) -> list[Point]:
    """The polygon between a skyline and the lower edge."""
    return [
        *((float(x), float(line[x])) for x in range(0, width, 2)),
        (width, float(line[-1])),
        (width, height),
        (0, height),
    ]


def sunset_over_sea(rng: np.random.Generator, width: int, height: int) -> Field:
    """A low sun in an orange sky, and its glitter on the water."""
    horizon, hue = rng.uniform(0.5, 0.68), rng.uniform(0.0, 0.07)
    dusk, glow = colour(hue + 0.78, 0.55, rng.uniform(0.3, 0.55)), colour(hue + 0.06, 0.7, 1.0)
    picture = ramp(width, height, [(0, dusk), (horizon * 0.6, colour(hue, 0.75, 0.9)), (horizon, glow)])
    picture = clouds(rng, picture, colour(hue + 0.9, 0.5, 0.6), rng.uniform(0.1, 0.5))
    sun_x, radius = rng.uniform(0.2, 0.8), rng.uniform(0.07, 0.13)
    x, y = grid(width, height, 0, (sun_x, horizon - rng.uniform(0.0, 0.2)))
    distance = np.hypot(x, y)
    picture = blend(picture, (255, 225, 150), np.exp(-distance * 5) * 0.7)
    picture = blend((255, 246, 205), picture, step(distance, radius, 0.02))
    _, depth = grid(width, height, 0, (0.5, horizon))
    sea = ramp(width, height, [(horizon, colour(hue + 0.02, 0.55, 0.75)), (1, colour(hue + 0.72, 0.6, 0.25))])
    waves = noise(rng, width, height, 45, stretch=5) - 0.5
    glitter = np.exp(-((x / (0.08 + 0.35 * np.abs(depth))) ** 2)) * (0.6 + 1.6 * waves)
    sea = blend(sea * (1 + 0.5 * waves)[..., None], (255, 225, 150), glitter)
    return blend(picture, sea, step(depth + 0 * x, 0, 0.006))


def city_at_night(rng: np.random.Generator, width: int, height: int) -> Field:
    """Dark towers with lit windows."""
    hue = rng.uniform(0.58, 0.72)
    pen = Pen(ramp(width, height, [(0, colour(hue, 0.8, 0.1)), (1, colour(hue + 0.08, 0.6, 0.4))]))
    side = min(width, height)
    for layer in range(3):
        x = -rng.uniform(0, 0.1) * side
        while x < width:
            w, top = rng.uniform(0.12, 0.24) * side, height * (rng.uniform(0.12, 0.55) + 0.12 * layer)
            wall = colour(hue, 0.5, 0.24 - 0.07 * layer)
            pen.box(x, top, x + w, height, wall)
            pitch = side * rng.uniform(0.026, 0.038)
            lit = rng.uniform(0.3, 0.7)
            for wx in np.arange(x + pitch * 0.5, x + w - pitch * 0.8, pitch):
                for wy in np.arange(top + pitch * 0.6, height, pitch * 1.3):
                    if rng.random() < lit:
                        lamp = near(rng, 0.13, 0.45, 0.95 - 0.12 * (2 - layer), 0.04)
                        pen.box(wx, wy, wx + pitch * 0.55, wy + pitch * 0.7, lamp)
            x += w * rng.uniform(1.0, 1.3)
    return pen.finish()


def starry_sky(rng: np.random.Generator, width: int, height: int) -> Field:
    """Stars, the band of the Milky Way and a dark line of hills."""
    hue = rng.uniform(0.6, 0.72)
    picture = ramp(width, height, [(0, colour(hue, 0.8, 0.1)), (1, colour(hue - 0.05, 0.7, 0.3))])
    _, across = grid(width, height, rng.uniform(-1.2, 1.2), (rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.6)))
    band = np.exp(-((across / 0.17) ** 2)) * noise(rng, width, height, 7, octaves=4)
    pen = Pen(blend(picture, near(rng, 0.75, 0.25, 0.9, 0.1), band * 0.75))
    side = min(width, height)
    for _ in range(int(rng.integers(160, 320))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        size = side * 0.0022 * rng.pareto(3) + side * 0.0018
        pen.disc(x, y, min(size, side * 0.012), near(rng, rng.choice([0.1, 0.6]), 0.12, 0.96))
    hills = _ridge(rng, width, height * rng.uniform(0.86, 0.95), height * 0.05, 3, 4)
    pen.polygon(_below(hills, width, height), colour(hue, 0.5, 0.04))
    return pen.finish()


def snowy_mountains(rng: np.random.Generator, width: int, height: int) -> Field:
    """White peaks with grey rock under a blue sky."""
    hue = rng.uniform(0.54, 0.6)
    picture = ramp(width, height, [(0, colour(hue, 0.7, rng.uniform(0.65, 0.9))), (0.7, colour(hue, 0.2, 0.97))])
    picture = clouds(rng, picture, (250, 250, 255), rng.uniform(0.0, 0.4))
    y = np.arange(height)[:, None] + np.zeros((1, width))
    for base, rise, dim in ((0.45, 0.2, 0.25), (0.62, 0.22, 0.0)):
        line = _ridge(rng, width, height * (base + rng.uniform(-0.05, 0.05)), height * rise, rng.uniform(3, 5), 4)
        rough = noise(rng, width, height, 16, octaves=3)
        below = (y - line) / height
        slope = (noise(rng, width, height, 9, octaves=4) - 0.5) * 3
        snow = blend(colour(0.6, 0.25, 0.75), (252, 252, 255), step(slope, 0.0, 0.9))
        rock = blend(colour(0.63, 0.2, 0.25), colour(0.08, 0.15, 0.5), step(slope, 0.0, 0.9))
        slope_picture = blend(snow, rock, step(below + (rough - 0.5) * 0.5, rng.uniform(0.16, 0.3), 0.05))
        slope_picture = blend(slope_picture, colour(hue, 0.3, 0.9), np.full(y.shape, dim))
        picture = blend(picture, slope_picture, step(below, 0.0, 0.006))
    return picture


def desert_dunes(rng: np.random.Generator, width: int, height: int) -> Field:
    """Layers of sand, lit from one side, with wind ripples."""
    hue = rng.uniform(0.07, 0.11)
    picture = ramp(width, height, [(0, colour(0.57, rng.uniform(0.3, 0.6), 0.9)), (0.5, colour(hue, 0.2, 0.98))])
    y = np.arange(height)[:, None] + np.zeros((1, width))
    x, _ = grid(width, height)
    sand = near(rng, hue, 0.58, 0.9, 0.01)
    for base in np.linspace(rng.uniform(0.3, 0.42), 0.85, int(rng.integers(3, 6))):
        waves = [np.sin(x[0] * rng.uniform(2, 6) + rng.uniform(0, 6)) for _ in range(2)]
        line = height * (base + 0.07 * waves[0] + 0.03 * waves[1])
        below = (y - line) / height
        wind = np.sin(below * rng.uniform(130, 190) + 4 * noise(rng, width, height, 4, octaves=2) + x * 6)
        light = 0.68 + 0.35 * step(np.gradient(line)[None, :] + below * 1.5, 0.15, 0.6) + 0.04 * wind
        picture = blend(picture, np.asarray(sand) * light[..., None], step(below, 0.0, 0.008))
    return picture


def flower_meadow(rng: np.random.Generator, width: int, height: int) -> Field:
    """Grass full of flowers that grow larger toward the viewer."""
    horizon = rng.uniform(0.0, 0.25)
    grass = near(rng, 0.27, 0.7, 0.5, 0.04)
    picture = ramp(width, height, [(0, shade(grass, 1.3)), (1, shade(grass, 0.7))])
    picture *= (0.7 + 0.6 * noise(rng, width, height, 50, stretch=0.3))[..., None]
    _, y = grid(width, height, 0, (0.5, horizon))
    sky = ramp(width, height, [(0, colour(0.57, 0.5, 0.95)), (1, (240, 245, 255))])
    pen = Pen(blend(sky, picture, step(y + np.zeros((1, width)), 0, 0.01)))
    side = min(width, height)
    hues = rng.choice([0.0, 0.13, 0.75, 0.85, 0.92], 3, replace=False)
    for depth in np.sort(rng.random(int(rng.integers(110, 200)))):
        x, y0 = rng.uniform(0, width), height * (horizon + (1 - horizon) * depth)
        size = side * (0.008 + 0.035 * depth) * rng.uniform(0.8, 1.2)
        pen.line([(x, y0), (x + size * rng.uniform(-1, 1), y0 + size * 4)], shade(grass, 0.6), size * 0.2)
        petal, turn = near(rng, rng.choice(hues), 0.6, 0.98), rng.random()
        for k in range(6):
            angle = (k + turn) * math.tau / 6
            pen.disc(x + size * 0.7 * math.cos(angle), y0 + size * 0.7 * math.sin(angle), size * 0.45, petal)
        pen.disc(x, y0, size * 0.4, (250, 205, 50))
    return pen.finish()


def rainbow(rng: np.random.Generator, width: int, height: int) -> Field:
    """A bow over green hills after the rain."""
    hue = rng.uniform(0.55, 0.62)
    picture = ramp(width, height, [(0, colour(hue, 0.5, rng.uniform(0.55, 0.85))), (1, colour(hue, 0.15, 0.95))])
    picture = clouds(rng, picture, colour(hue, 0.05, rng.uniform(0.8, 1.0)), rng.uniform(0.1, 0.4))
    x, y = grid(width, height, 0, (rng.uniform(0.3, 0.7), rng.uniform(0.8, 1.05)))
    radius, thickness = rng.uniform(0.5, 0.72), rng.uniform(0.12, 0.2)
    place = (np.hypot(x, y) - radius) / thickness  # 0 inside (violet) .. 1 outside (red)
    bands = [colour(h, 0.85, 1.0) for h in (0.77, 0.62, 0.5, 0.33, 0.16, 0.08, 0.0)]
    spectrum = np.stack(
        [np.interp(place, np.linspace(0.07, 0.93, 7), [band[c] for band in bands]) for c in range(3)], axis=-1
    )
    picture = blend(picture, spectrum, np.clip(6 * place * (1 - place), 0, rng.uniform(0.7, 0.9)))
    pen = Pen(picture)
    for layer in range(2):
        green = near(rng, 0.3, 0.6, 0.55 - 0.15 * layer, 0.04)
        hills = _ridge(rng, width, height * (0.8 + 0.1 * layer), height * 0.05, 3, 2)
        pen.polygon(_below(hills, width, height), green)
    return pen.finish()


def birch_forest(rng: np.random.Generator, width: int, height: int) -> Field:
    """White trunks with black marks before green or golden leaves."""
    hue = rng.uniform(0.14, 0.3)
    leaves = noise(rng, width, height, 14, octaves=3)
    pen = Pen(blend(colour(hue, 0.8, 0.25), colour(hue - 0.03, 0.65, 0.85), (leaves - 0.25) * 1.8))
    side = min(width, height)
    for size in np.sort(rng.uniform(0.025, 0.085, int(rng.integers(7, 13)))) * side:
        x, lean = rng.uniform(0, width), rng.uniform(-0.06, 0.06) * height
        bark = near(rng, 0.12, 0.05, 0.93, 0.05, 0.05)
        corners = [
            (x - size / 2, 0.0),
            (x + size / 2, 0.0),
            (x + lean + size * 0.6, height),
            (x + lean - size * 0.6, height),
        ]
        pen.polygon(corners, bark)
        middle = [
            (x + size * 0.15, 0.0),
            (x + size / 2, 0.0),
            (x + lean + size * 0.6, height),
            (x + lean + size * 0.2, height),
        ]
        pen.polygon(middle, shade(bark, 0.75))
        for _ in range(int(height / size * 1.2)):
            y = rng.uniform(0, height)
            left = x + lean * y / height + size * rng.uniform(-0.45, 0.2)
            pen.line(
                [(left, y), (left + size * rng.uniform(0.1, 0.35), y + size * 0.04)],
                (38, 34, 32),
                size * rng.uniform(0.05, 0.16),
            )
    return pen.finish()


def sailing_boats(rng: np.random.Generator, width: int, height: int) -> Field:
    """White and coloured sails on a blue sea."""
    horizon, hue = rng.uniform(0.4, 0.58), rng.uniform(0.54, 0.6)
    sky = ramp(width, height, [(0, colour(hue, 0.55, 0.95)), (horizon, colour(hue, 0.15, 1.0))])
    sky = clouds(rng, sky, (255, 255, 255), rng.uniform(0.1, 0.5))
    sea = ramp(width, height, [(horizon, colour(hue, 0.6, 0.75)), (1, colour(hue + 0.02, 0.85, 0.4))])
    sea *= (0.75 + 0.5 * noise(rng, width, height, 40, stretch=5))[..., None]
    _, y = grid(width, height, 0, (0.5, horizon))
    pen = Pen(blend(sky, sea, step(y + np.zeros((1, width)), 0, 0.006)))
    side = min(width, height)
    for depth in np.sort(rng.uniform(0.1, 0.75, int(rng.integers(2, 5)))):
        x, base = rng.uniform(0.1, 0.9) * width, height * (horizon + (1 - horizon) * depth)
        size, turn = side * (0.12 + 0.42 * depth) * rng.uniform(0.9, 1.1), rng.choice([-1, 1])
        sail = near(rng, rng.random(), rng.choice([0.0, 0.0, 0.7]), 0.95)
        jib = near(rng, rng.random(), 0.75, 0.9)
        pen.polygon([(x, base - size), (x, base - size * 0.08), (x + turn * size * 0.48, base - size * 0.08)], sail)
        pen.polygon(
            [
                (x - turn * size * 0.04, base - size * 0.9),
                (x - turn * size * 0.04, base - size * 0.1),
                (x - turn * size * 0.36, base - size * 0.1),
            ],
            jib,
        )
        pen.line([(x, base - size * 1.03), (x, base)], (90, 70, 50), size * 0.02)
        hull = [
            (x - size * 0.42, base - size * 0.06),
            (x + size * 0.5, base - size * 0.06),
            (x + size * 0.36, base + size * 0.08),
            (x - size * 0.32, base + size * 0.08),
        ]
        pen.polygon(hull, near(rng, rng.choice([0.0, 0.06, 0.6]), 0.6, 0.4))
    return pen.finish()


def hot_air_balloons(rng: np.random.Generator, width: int, height: int) -> Field:
    """Striped balloons in a clear sky."""
    hue = rng.uniform(0.52, 0.6)
    picture = ramp(width, height, [(0, colour(hue, 0.6, 0.9)), (1, colour(hue, 0.12, 1.0))])
    pen = Pen(clouds(rng, picture, (255, 255, 255), rng.uniform(0.0, 0.4)))
    side = min(width, height)
    for size in np.sort(rng.uniform(0.07, 0.25, int(rng.integers(2, 6)))) * side:
        x, y = rng.uniform(0.12, 0.88) * width, rng.uniform(0.15, 0.7) * height
        hue = rng.random()
        tones = [near(rng, hue, 0.85, 0.9), near(rng, hue + rng.uniform(0.12, 0.5), 0.8, 0.98)]
        for side_x in (-0.16, 0.16):
            pen.line(
                [(x + side_x * 2 * size, y + size * 0.9), (x + side_x * size, y + size * 1.65)],
                (70, 60, 50),
                size * 0.03,
            )
        # From the outside in, each stripe covers the middle of the one before.
        for k, half in enumerate((1.0, 0.78, 0.5, 0.2)):
            upper, lower = arc(half, 1.0, math.pi, math.tau), arc(half, 0.6, 0.0, math.pi * 0.28)
            skirt = [(0.22 * half, 1.25), (-0.22 * half, 1.25)]
            mirrored = [(-px, py) for px, py in reversed(lower)]
            pen.polygon(turned([*upper, *lower, *skirt, *mirrored], x, y, 0.0, size), tones[k % 2])
        pen.box(x - size * 0.18, y + size * 1.6, x + size * 0.18, y + size * 1.85, (120, 80, 40))
    return pen.finish()


def tropical_fish(rng: np.random.Generator, width: int, height: int) -> Field:
    """Bright fish and bubbles in blue water."""
    hue = rng.uniform(0.5, 0.58)
    picture = ramp(width, height, [(0, colour(hue, 0.6, 0.9)), (1, colour(hue + 0.06, 0.85, 0.35))])
    pen = Pen(picture * (0.8 + 0.4 * noise(rng, width, height, 5, stretch=0.3))[..., None])
    side = min(width, height)
    for _ in range(int(rng.integers(3, 8))):
        x, base, reach = rng.uniform(0, width), float(height), height * rng.uniform(0.25, 0.5)
        sway = rng.uniform(0, 6)
        weed = [(x + side * 0.03 * math.sin(sway + t * 7), base - reach * t) for t in np.linspace(0, 1, 14).tolist()]
        pen.line(weed, near(rng, 0.36, 0.7, 0.45, 0.05), side * 0.02)
    for size in np.sort(rng.uniform(0.07, 0.17, int(rng.integers(4, 9)))) * side:
        x, y, flip = rng.uniform(0.05, 0.95) * width, rng.uniform(0.1, 0.85) * height, float(rng.choice([-1, 1]))
        tilt, hue = rng.uniform(-0.25, 0.25), rng.choice([0.03, 0.08, 0.14, 0.92])
        body, belt = near(rng, hue, 0.9, 1.0), near(rng, 0.1, 0.05, 0.98)

        def place(
            points: list[Point], at: tuple[float, float, float, float, float] = (x, y, flip, tilt, size)
        ) -> list[Point]:
            cx, cy, mirror, angle, scale = at
            return turned([(px * mirror, py) for px, py in points], cx, cy, angle, scale)

        pen.polygon(place([(-0.8, 0.0), (-1.5, -0.55), (-1.3, 0.0), (-1.5, 0.55)]), shade(body, 0.8))
        pen.polygon(place([(-0.4, -0.4), (0.0, -0.95), (0.4, -0.4)]), shade(body, 0.8))
        pen.polygon(place(arc(1.0, 0.58)), body)
        for left in (-0.5, 0.15):
            pen.polygon(place([(left, -0.5), (left + 0.2, -0.53), (left + 0.2, 0.53), (left, 0.5)]), belt)
        pen.polygon(place([(0.65 + px, py - 0.12) for px, py in arc(0.13, 0.13)]), (255, 255, 255))
        pen.polygon(place([(0.68 + px, py - 0.12) for px, py in arc(0.07, 0.07)]), (10, 10, 10))
    for _ in range(int(rng.integers(8, 25))):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), side * rng.uniform(0.006, 0.02)
        pen.disc(x, y, radius, (200, 235, 250))
        pen.disc(x, y, radius * 0.75, colour(0.53, 0.5, 0.85))
    return pen.finish()


def fireworks(rng: np.random.Generator, width: int, height: int) -> Field:
    """Bursts of coloured sparks in a black sky."""
    hue = rng.uniform(0.6, 0.75)
    pen = Pen(ramp(width, height, [(0, colour(hue, 0.7, 0.04)), (1, colour(hue, 0.6, 0.18))]))
    side = min(width, height)
    for _ in range(int(rng.integers(3, 7))):
        x, y, size = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.75) * height, rng.uniform(0.16, 0.38) * side
        tone, rays = near(rng, rng.random(), 0.75, 1.0), int(rng.integers(22, 44))
        for k in range(rays):
            angle, reach = (k + rng.random()) * math.tau / rays, size * rng.uniform(0.75, 1.05)
            path = [
                (x + reach * t * math.cos(angle), y + reach * t * math.sin(angle) + size * 0.25 * t * t)
                for t in (0.25, 0.5, 0.75, 1.0)
            ]
            pen.line(path, tone, side * 0.006)
            pen.disc(*path[-1], side * 0.009, (255, 250, 225))
        pen.disc(x, y, size * 0.08, (255, 250, 225))
    return pen.finish()
