"""Drawings that fill the image with a pattern. Each takes a generator and a size, and returns an image (H, W, 3)."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Field, Pen, blend, colour, grid, near, noise, ramp, shade, step, turned


def checkerboard(rng: np.random.Generator, width: int, height: int) -> Field:
    """Two colours in squares, at any angle."""
    x, y = grid(width, height, rng.uniform(-0.6, 0.6), (rng.random(), rng.random()))
    cells = rng.uniform(4, 9)
    wave = np.sin(x * cells * math.pi) * np.sin(y * cells * math.pi)
    hue = rng.random()
    dark = colour(hue, rng.uniform(0.2, 0.9), rng.uniform(0.05, 0.3))
    light = colour(hue + rng.uniform(-0.1, 0.1), rng.uniform(0.0, 0.25), rng.uniform(0.85, 1.0))
    return blend(dark, light, step(wave, 0, 0.1)) * (0.85 + 0.3 * noise(rng, width, height, 3))[..., None]


def brick_wall(rng: np.random.Generator, width: int, height: int) -> Field:
    """Rows of red or brown bricks with pale mortar."""
    x, y = grid(width, height, rng.uniform(-0.12, 0.12), (rng.random(), rng.random()))
    rows, ratio = rng.uniform(7, 13), rng.uniform(2.0, 2.8)
    v = y * rows
    row = np.floor(v).astype(int)
    u = x * rows / ratio + 0.5 * (row % 2)
    column = np.floor(u).astype(int)
    edge = np.minimum(np.minimum(v - row, 1 - (v - row)), ratio * np.minimum(u - column, 1 - (u - column)))
    tones = rng.uniform(0.65, 1.1, (64, 64))[row % 64, column % 64]
    brick = blend((0, 0, 0), near(rng, 0.03, 0.65, 0.68, 0.02), tones * (0.8 + 0.4 * noise(rng, width, height, 40)))
    return blend(near(rng, 0.1, 0.12, 0.78), brick, step(edge, 0.09, 0.06))


def wooden_planks(rng: np.random.Generator, width: int, height: int) -> Field:
    """Boards side by side with grain, knots of colour and dark gaps; lying or standing."""
    standing = rng.random() < 0.5
    w, h = (height, width) if standing else (width, height)
    x, y = grid(w, h, rng.uniform(-0.03, 0.03), (rng.random(), rng.random()))
    v = y * rng.uniform(4, 7)
    board = np.floor(v).astype(int)
    tones, shifts = rng.uniform(0.75, 1.1, 64)[board % 64], rng.uniform(0, 20, 64)[board % 64]
    warp = noise(rng, w, h, 8, stretch=5, octaves=2)
    grain = np.sin(v * 14 + shifts + warp * 18 + 0.5 * np.sin(x * 5 + shifts))
    light = near(rng, 0.085, 0.55, 0.8)
    picture = blend(shade(light, 0.55), light, 0.62 + 0.3 * grain) * tones[..., None]
    gap = np.minimum(v - board, 1 - (v - board))
    picture = blend(shade(light, 0.2), picture, step(gap, 0.025, 0.04))
    return np.swapaxes(picture, 0, 1) if standing else picture


def polka_dots(rng: np.random.Generator, width: int, height: int) -> Field:
    """Round dots in staggered rows on a plain ground."""
    x, y = grid(width, height, rng.uniform(0, math.pi), (rng.random(), rng.random()))
    cells = rng.uniform(4, 8)
    u, v = (x + y) * cells * 0.7, (x - y) * cells * 0.7
    distance = np.hypot(u - np.rint(u), v - np.rint(v))
    hue = rng.random()
    ground = colour(hue, rng.uniform(0.45, 0.8), rng.uniform(0.6, 0.95))
    dots = colour(hue + rng.uniform(0.3, 0.7), rng.uniform(0.0, 0.25), rng.uniform(0.92, 1.0))
    return blend(dots, ground, step(distance, rng.uniform(0.24, 0.32), 0.04))


def tartan(rng: np.random.Generator, width: int, height: int) -> Field:
    """Woven cloth: the same bands of colour across and along."""
    x, y = grid(width, height, rng.uniform(-0.3, 0.3), (rng.random(), rng.random()))
    period = rng.uniform(0.3, 0.5)
    hue = rng.choice([0.0, 0.36, 0.6])
    ground, band = near(rng, hue, 0.8, 0.6, 0.03), near(rng, hue + 0.35, 0.7, 0.25, 0.05)
    pale = near(rng, 0.13, 0.3, 0.95, 0.03)

    def threads(position: Field) -> Field:
        phase = position / period % 1.0
        cloth = blend(ground, band, step(np.abs(phase - 0.5), 0.3, 0.02))
        return blend(cloth, pale, 1 - step(np.abs(np.abs(phase - 0.5) - 0.18), 0.02, 0.01))

    weave = 0.5 + 0.5 * np.sin((x + y) * 260)
    picture: Field = threads(x) * (0.35 + 0.3 * weave)[..., None] + threads(y) * (0.65 - 0.3 * weave)[..., None]
    return picture


def zebra_stripes(rng: np.random.Generator, width: int, height: int) -> Field:
    """Black and cream stripes that bend and fork."""
    x, y = grid(width, height, rng.uniform(-0.7, 0.7))
    bend = noise(rng, width, height, 3, octaves=2)
    wave = np.sin(x * rng.uniform(26, 44) + bend * rng.uniform(8, 13) + 1.5 * np.sin(y * 4 + rng.uniform(0, 6)))
    hair = 0.92 + 0.16 * noise(rng, width, height, 60)
    return blend(near(rng, 0.08, 0.2, 0.12), near(rng, 0.11, 0.1, 0.94), step(wave, 0.05, 0.35)) * hair[..., None]


def honeycomb(rng: np.random.Generator, width: int, height: int) -> Field:
    """Six-sided amber cells, some of them capped."""
    x, y = grid(width, height, rng.uniform(0, math.pi), (rng.random(), rng.random()))
    cells = rng.uniform(6, 11)
    x, y = x * cells, y * cells * 2 / math.sqrt(3)
    # Two interleaved rectangular lattices; the nearer centre of the two is the cell's.
    candidates = []
    for shift in (0.0, 0.5):
        row, column = np.rint(y / 2 - shift) + shift, np.rint(x - shift) + shift
        candidates.append((x - column, (y / 2 - row) * math.sqrt(3), row, column))
    (ax, ay, ar, ac), (bx, by, br, bc) = candidates
    first = ax**2 + ay**2 < bx**2 + by**2
    dx, dy = np.abs(np.where(first, ax, bx)), np.abs(np.where(first, ay, by))
    edge = 0.5 - np.maximum(dx, dx * 0.5 + dy * math.sqrt(3) / 2)
    index = (np.where(first, ar, br) * 2 * 17 + np.where(first, ac, bc) * 2).astype(int) % 997
    tones = rng.choice([0.55, 0.8, 0.9, 1.0], 997)[index]
    honey = near(rng, 0.11, 0.85, 0.92, 0.015)
    picture = blend(shade(honey, 0.4), honey, tones * (0.55 + 1.1 * edge))
    return blend(near(rng, 0.09, 0.75, 0.35), picture, step(edge, 0.07, 0.05))


def marble(rng: np.random.Generator, width: int, height: int) -> Field:
    """Polished stone with thin wandering veins."""
    x, _ = grid(width, height, rng.uniform(0, math.pi))
    warp = noise(rng, width, height, 3, octaves=5)
    veins = np.abs(np.sin(x * rng.uniform(5, 9) + warp * rng.uniform(10, 15)))
    hue = rng.choice([0.1, 0.4, 0.6])
    stone = near(rng, hue, 0.07, 0.92, 0.03, 0.05)
    body = blend(shade(stone, 0.82), stone, noise(rng, width, height, 4, octaves=3))
    return blend(near(rng, hue, 0.3, 0.38), body, np.sqrt(veins))


def autumn_leaves(rng: np.random.Generator, width: int, height: int) -> Field:
    """The ground covered with red, orange and yellow leaves."""
    pen = Pen(blend(near(rng, 0.07, 0.6, 0.2), near(rng, 0.08, 0.5, 0.4), noise(rng, width, height, 12, octaves=2)))
    side = min(width, height)
    outline = [(-1.0, 0.0), (-0.4, -0.35), (-0.1, -0.7), (0.15, -0.32), (0.6, -0.5), (0.55, -0.15), (1.0, 0.0)]
    outline += [(x, -y) for x, y in reversed(outline[1:-1])]
    size = side * rng.uniform(0.07, 0.11)
    for _ in range(int(1.3 * width * height / size**2)):
        x, y, angle = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, math.tau)
        tone = near(rng, rng.choice([0.0, 0.04, 0.08, 0.12]), 0.85, rng.uniform(0.55, 0.95))
        scale = size * rng.uniform(0.7, 1.3)
        pen.polygon(turned(outline, x, y, angle, scale), tone)
        pen.line(turned([(-0.9, 0), (1.4, 0)], x, y, angle, scale), shade(tone, 0.6), scale * 0.07)
    return pen.finish()


def ripples(rng: np.random.Generator, width: int, height: int) -> Field:
    """Rings that spread from raindrops on a pond."""
    waves = np.zeros((height, width))
    for _ in range(rng.integers(2, 6)):
        x, y = grid(width, height, 0, (rng.random(), rng.random()))
        distance = np.hypot(x, y * rng.uniform(1.0, 1.5))
        waves += np.sin(distance * rng.uniform(45, 75)) * np.exp(-3.0 * distance)
    hue = rng.uniform(0.48, 0.58)
    water = blend(colour(hue, 0.8, 0.3), colour(hue, 0.5, 0.7), noise(rng, width, height, 2, octaves=2) + waves * 0.5)
    return blend(water, (235, 248, 255), step(waves, 0.75, 0.4))


def stained_glass(rng: np.random.Generator, width: int, height: int) -> Field:
    """Panes of bright glass between lines of lead."""
    x, y = grid(width, height)
    count = int(rng.integers(35, 70))
    px, py = rng.uniform(x.min(), x.max(), count), rng.uniform(y.min(), y.max(), count)
    nearest = np.zeros((height, width), int)
    first, second = np.full((height, width), np.inf), np.full((height, width), np.inf)  # the two least distances
    for i in range(count):
        distance = np.sqrt((x - px[i]) ** 2 + (y - py[i]) ** 2)
        nearest[distance < first] = i
        second = np.minimum(second, np.maximum(first, distance))
        first = np.minimum(first, distance)
    tones = np.array([near(rng, rng.choice([0.0, 0.1, 0.15, 0.35, 0.58, 0.75]), 0.88, 0.85) for _ in range(count)])
    glow = 0.75 + 0.5 * noise(rng, width, height, 10)
    return blend((18, 18, 22), tones[nearest] * glow[..., None], step(second - first, 0.022, 0.01))


def knitted_wool(rng: np.random.Generator, width: int, height: int) -> Field:
    """Rows of V-shaped stitches, with bands of a second colour."""
    x, y = grid(width, height, rng.uniform(-0.25, 0.25), (rng.random(), rng.random()))
    columns = rng.uniform(9, 15)
    u = x * columns
    side = np.abs(u - np.floor(u) - 0.5)  # 0 in the middle of the V, 0.5 between two of them
    v = y * columns * 1.25 + side * 1.6
    row = np.floor(v).astype(int)
    depth = np.sin((v - row) * math.pi) * np.sqrt(np.sin(np.clip(side * 2, 0.02, 0.98) * math.pi))
    hue = rng.random()
    first, second = near(rng, hue, 0.6, 0.8), near(rng, hue + rng.uniform(0.2, 0.8), 0.25, 0.95)
    wool = blend(first, second, (row % rng.integers(6, 11) < 2).astype(np.float64))
    light: Field = 0.3 + 0.75 * depth + 0.1 * noise(rng, width, height, 80)
    return wool * light[..., None]


def circuit_board(rng: np.random.Generator, width: int, height: int) -> Field:
    """A green board with copper traces, pads and black chips."""
    board = near(rng, rng.uniform(0.36, 0.42), 0.8, 0.35)
    pen = Pen(blend(board, shade(board, 0.75), noise(rng, width, height, 4)))
    side = min(width, height)
    pitch = side / rng.uniform(22, 32)
    trace, pad = shade(board, 1.9), near(rng, 0.12, 0.5, 0.85)
    for _ in range(int(width * height / pitch**2 / 8)):
        x, y = np.rint(rng.uniform(0, [width, height]) / pitch) * pitch
        points = [(x, y)]
        for _ in range(3):
            dx, dy = rng.choice([(1, 0), (0, 1), (1, 1), (1, -1), (-1, 0), (0, -1)]) * pitch * rng.integers(1, 6)
            points.append((points[-1][0] + dx, points[-1][1] + dy))
        pen.line(points, trace, pitch * 0.28)
        for px, py in (points[0], points[-1]):
            pen.disc(px, py, pitch * 0.42, pad)
            pen.disc(px, py, pitch * 0.18, shade(board, 0.4))
    for _ in range(rng.integers(2, 5)):
        x, y = rng.uniform(0.1, 0.75, 2) * (width, height)
        w, h = np.rint(rng.uniform(3, 9, 2)) * pitch
        for i in range(int(w / pitch)):
            pen.box(x + (i + 0.3) * pitch, y - pitch * 0.7, x + (i + 0.7) * pitch, y + h + pitch * 0.7, (200, 200, 205))
        pen.box(x, y, x + w, y + h, (28, 28, 32))
        pen.disc(x + pitch * 0.7, y + pitch * 0.7, pitch * 0.3, (70, 70, 76))
    return pen.finish()


def piano_keys(rng: np.random.Generator, width: int, height: int) -> Field:
    """White keys with black ones in groups of two and three."""
    wood = near(rng, 0.06, 0.6, 0.2)
    pen = Pen(ramp(width, height, [(0, shade(wood, 1.3)), (1, shade(wood, 0.6))]))
    key = width / rng.uniform(7, 15)
    top, bottom = height * rng.uniform(0.0, 0.2), height * rng.uniform(0.85, 1.05)
    lean = rng.uniform(-0.25, 0.25) * key * 3
    offset, first = rng.random(), int(rng.integers(7))
    ivory = near(rng, 0.13, 0.06, 0.95, 0.03, 0.04)

    def bar(left: float, right: float, upper: float, lower: float) -> list[tuple[float, float]]:
        def slant(y: float) -> float:
            return lean * (y - top) / (bottom - top)

        return [
            (left + slant(upper), upper),
            (right + slant(upper), upper),
            (right + slant(lower), lower),
            (left + slant(lower), lower),
        ]

    for i in range(-4, int(width / key) + 5):
        x = (i + offset) * key
        pen.polygon(bar(x, x + key, top, bottom), (60, 58, 56))
        pen.polygon(bar(x + key * 0.04, x + key * 0.96, top, bottom), ivory)
    split = top + (bottom - top) * rng.uniform(0.58, 0.66)
    for i in range(-4, int(width / key) + 5):
        if (i + first) % 7 not in (2, 6):  # no black key above E-F and B-C
            x = (i + offset + 1) * key
            pen.polygon(bar(x - key * 0.3, x + key * 0.3, top, split), (22, 22, 24))
            pen.polygon(bar(x - key * 0.2, x + key * 0.15, top, split - key * 0.4), (58, 58, 62))
    return pen.finish()
