"""EXIF orientation: the picture as its photographer saw it, as cv2.imread gives it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_TAG = 0x0112

# Orientation -> (transpose first?, then cv2.flip's code or None): 2 is mirrored, 3 upside down, 6 turned left, ...
_TURNS: dict[int, tuple[bool, int | None]] = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}


def read_orientation(exif: bytes | None) -> int:
    """The orientation 1..8 that EXIF data (with or without their `Exif` prefix) state; 1 where they state none."""
    if not exif:
        return 1
    tags = Image.Exif()
    try:
        tags.load(exif)
        value = tags.get(_TAG, 1)
    except Exception:
        # Damaged metadata are no reason to refuse a good picture, and Pillow raises nearly anything on them.
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """`pixels` uint8 (H, W, 3) turned and mirrored as `orientation` says."""
    if orientation not in _TURNS:
        return pixels
    transpose, flip = _TURNS[orientation]
    turned = cv2.transpose(pixels) if transpose else pixels
    if flip is not None:
        turned = cv2.flip(turned, flip)
    return np.asarray(turned, np.uint8)
