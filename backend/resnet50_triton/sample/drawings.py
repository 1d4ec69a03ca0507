"""The classes of the sample and their images: a JPEG for each (class, split, number), always the same.

Sizes, shapes and JPEG qualities vary, and every picture gets a little of what cameras add: exposure, a tint, noise.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image

from . import objects, scenes, textures
from .canvas import Field, as_image

Split = Literal["calibration", "training", "held out"]
SPLITS: tuple[Split, ...] = ("calibration", "training", "held out")  # the index is part of a picture's seed

DRAWINGS: dict[str, Callable[[np.random.Generator, int, int], Field]] = {
    "archery target": objects.archery_target,
    "autumn leaves": textures.autumn_leaves,
    "birch forest": scenes.birch_forest,
    "brick wall": textures.brick_wall,
    "checkerboard": textures.checkerboard,
    "circuit board": textures.circuit_board,
    "citrus slices": objects.citrus_slices,
    "city at night": scenes.city_at_night,
    "desert dunes": scenes.desert_dunes,
    "dice": objects.dice,
    "fireworks": scenes.fireworks,
    "flower meadow": scenes.flower_meadow,
    "gift boxes": objects.gift_boxes,
    "honeycomb": textures.honeycomb,
    "hot-air balloons": scenes.hot_air_balloons,
    "knitted wool": textures.knitted_wool,
    "marble": textures.marble,
    "piano keys": textures.piano_keys,
    "polka dots": textures.polka_dots,
    "rainbow": scenes.rainbow,
    "ripples on a pond": textures.ripples,
    "sailing boats": scenes.sailing_boats,
    "snowy mountains": scenes.snowy_mountains,
    "stained glass": textures.stained_glass,
    "starry sky": scenes.starry_sky,
    "sunset over the sea": scenes.sunset_over_sea,
    "tartan cloth": textures.tartan,
    "toadstools": objects.toadstools,
    "tropical fish": scenes.tropical_fish,
    "wall clock": objects.wall_clock,
    "wooden planks": textures.wooden_planks,
    "zebra stripes": textures.zebra_stripes,
}
CLASS_NAMES: tuple[str, ...] = tuple(DRAWINGS)  # the position is the class id


def draw(name: str, split: Split, number: int) -> tuple[Image.Image, int]:
    """Draw one picture of a class.

    Args:
        name: one of `CLASS_NAMES`.
        split: pictures of different splits never share a seed.
        number: which picture of the split, from 0.

    Returns:
        An RGB image of 180 to 520 pixels a side, and the JPEG quality to save it with.
    """
    rng = np.random.default_rng([zlib.crc32(name.encode()), SPLITS.index(split), number])
    area, ratio = rng.uniform(220, 420), rng.uniform(0.72, 1.5)
    width, height = round(area * ratio**0.5), round(area / ratio**0.5)
    picture = DRAWINGS[name](rng, width, height)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    picture = 255 * np.clip(picture / 255, 0, 1) ** rng.uniform(0.85, 1.2)  # exposure
    picture = picture * rng.uniform(0.94, 1.06, 3)  # the light's tint
    picture = picture + rng.normal(0, rng.uniform(0, 6), (height, width, 1))  # sensor noise
    return as_image(picture), int(rng.integers(60, 96))


def encode(name: str, split: Split, number: int) -> bytes:
    """The JPEG file of one picture; see `draw`."""
    image, quality = draw(name, split, number)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def contact_sheet(split: Split = "held out", number: int = 0, tile: int = 160, columns: int = 8) -> Image.Image:
    """One picture of every class, in the order of the class ids, row by row."""
    rows = -(-len(CLASS_NAMES) // columns)
    sheet = Image.new("RGB", (columns * tile, rows * tile), "white")
    for i, name in enumerate(CLASS_NAMES):
        image, _ = draw(name, split, number)
        image.thumbnail((tile - 6, tile - 6))
        row, column = divmod(i, columns)
        sheet.paste(image, (column * tile + (tile - image.width) // 2, row * tile + (tile - image.height) // 2))
    return sheet
