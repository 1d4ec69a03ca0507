"""What the drawings are made with: coordinate grids, smooth noise, colours and a pen with smooth edges.

Shape legend: fields are float64 (H, W), pictures float64 (H, W, 3) of 0..255 in R, G, B. Lengths are in short sides of
the picture for fields, and in pixels for the pen.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Field = NDArray[np.float64]
Colour = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLE = 2  # the pen draws this much larger; shrinking smooths the edges


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Hue in turns, the others 0..1; out of range is clipped."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return round(red * 255), round(green * 255), round(blue * 255)


def near(
    rng: np.random.Generator, hue: float, saturation: float, value: float, hues: float = 0.02, shades: float = 0.08
) -> Colour:
    """A colour near the given one: hue within `hues`, saturation and value within `shades`."""
    h, s, v = rng.uniform(-1, 1, 3)
    return colour(hue + hues * h, saturation + shades * s, value + shades * v)


def shade(base: Colour, factor: float) -> Colour:
    """`base` made lighter (factor above 1) or darker."""
    red, green, blue = (min(255, round(c * factor)) for c in base)
    return red, green, blue


def grid(width: int, height: int, angle: float = 0.0, centre: Point = (0.5, 0.5)) -> tuple[Field, Field]:
    """x and y of every pixel in short sides of the picture, from `centre` (0..1), turned by `angle` radians."""
    side = min(width, height)
    x: Field = (np.arange(width) + 0.5 - centre[0] * width)[None, :] / side
    y: Field = (np.arange(height) + 0.5 - centre[1] * height)[:, None] / side
    cos, sin = math.cos(angle), math.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def noise(
    rng: np.random.Generator, width: int, height: int, cells: float, stretch: float = 1.0, octaves: int = 1
) -> Field:
    """A smooth random field of about 0..1: `cells` bumps along the short side; `stretch` makes them wider than high."""
    total = np.zeros((height, width))
    side, weight_sum = min(width, height), 0.0
    for octave in range(octaves):
        frequency, weight = cells * 2**octave, 0.5**octave
        columns = max(2, round(frequency * width / side / stretch) + 1)
        rows = max(2, round(frequency * height / side) + 1)
        coarse = Image.fromarray(rng.random((rows, columns), np.float32))
        total += weight * np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
        weight_sum += weight
    return total / weight_sum


def step(field: Field, edge: float, softness: float) -> Field:
    """0 below `edge`, 1 above it, linear over `softness`."""
    return np.clip((field - edge) / softness + 0.5, 0.0, 1.0)


def blend(low: Colour | Field, high: Colour | Field, amount: Field) -> Field:
    """From `low` (amount 0) to `high` (amount 1), pixel by pixel -> picture (H, W, 3)."""
    t: Field = np.clip(amount, 0.0, 1.0)[..., None]
    picture: Field = np.asarray(low, np.float64) * (1 - t) + np.asarray(high, np.float64) * t
    return picture


def ramp(width: int, height: int, stops: Sequence[tuple[float, Colour]]) -> Field:
    """A vertical gradient through `stops`: (height from the top 0..1, colour) -> picture (H, W, 3)."""
    y = (np.arange(height) + 0.5) / height
    places = [place for place, _ in stops]
    column = np.stack([np.interp(y, places, [tone[c] for _, tone in stops]) for c in range(3)], axis=-1)
    return np.repeat(column[:, None, :], width, axis=1)


def clouds(rng: np.random.Generator, picture: Field, tone: Colour, cover: float) -> Field:
    """Lay soft clouds of colour `tone` over a picture; `cover` 0..1 says how much of it."""
    height, width = picture.shape[:2]
    field = noise(rng, width, height, 3, stretch=2.5, octaves=4)
    return blend(picture, tone, np.clip((field - (0.75 - 0.5 * cover)) * 4, 0, 0.9))


def as_image(picture: Field) -> Image.Image:
    """A picture (H, W, 3) as an RGB image, rounded and clipped."""
    return Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))


class Pen:
    """Draws shapes with smooth edges on a picture; positions and lengths are in the picture's pixels."""

    def __init__(self, picture: Field) -> None:
        image = as_image(picture)
        self._size = image.size
        self._image = image.resize((image.width * OVERSAMPLE, image.height * OVERSAMPLE), Image.Resampling.BILINEAR)
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Iterable[Point], fill: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([(x * OVERSAMPLE, y * OVERSAMPLE) for x, y in points], fill=fill)

    def line(self, points: Iterable[Point], fill: Colour, width: float) -> None:
        """A line through the points."""
        scaled = [(x * OVERSAMPLE, y * OVERSAMPLE) for x, y in points]
        self._draw.line(scaled, fill=fill, width=max(1, round(width * OVERSAMPLE)), joint="curve")

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        """A filled, upright ellipse about (x, y)."""
        k = OVERSAMPLE
        self._draw.ellipse([(x - rx) * k, (y - ry) * k, (x + rx) * k, (y + ry) * k], fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """A filled circle."""
        self.ellipse(x, y, radius, radius, fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """A filled, upright rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], fill)

    def finish(self) -> Field:
        """The picture with everything drawn."""
        return np.asarray(self._image.resize(self._size, Image.Resampling.BOX), np.float64)


def turned(points: Iterable[Point], x: float, y: float, angle: float, scale: float = 1.0) -> list[Point]:
    """Scale points about their origin, turn them by `angle` radians and move them to (x, y)."""
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    return [(x + px * cos - py * sin, y + px * sin + py * cos) for px, py in points]


def arc(radius_x: float, radius_y: float, start: float = 0.0, stop: float = math.tau, count: int = 32) -> list[Point]:
    """Points on an ellipse about the origin."""
    return [(radius_x * math.cos(a), radius_y * math.sin(a)) for a in np.linspace(start, stop, count).tolist()]
