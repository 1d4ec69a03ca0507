"""EXIF orientation: the picture as its photographer saw it, as cv2.imread gives it."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

_TAG = 0x0112  # of TIFF's first directory, whose entries are: tag, type, count, value
_SHORT = 3

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
    """The orientation 1..8 that EXIF data (with or without their `Exif` prefix) state; 1 where they state none.

    Damaged metadata are no reason to refuse a good picture, nor to print warnings, as Pillow's reader does.
    """
    tiff = (exif or b"").removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    if at + 2 > len(tiff):
        return 1
    (entries,) = struct.unpack_from(order + "H", tiff, at)
    for entry in range(at + 2, min(at + 2 + 12 * entries, len(tiff) - 11), 12):
        tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == _TAG:
            return value if kind == _SHORT and count == 1 and value in _TURNS else 1
    return 1


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """`pixels` uint8 (H, W, 3) turned and mirrored as `orientation` says."""
    if orientation not in _TURNS:
        return pixels
    transpose, flip = _TURNS[orientation]
    turned = cv2.transpose(pixels) if transpose else pixels
    if flip is not None:
        turned = cv2.flip(turned, flip)
    return np.asarray(turned, np.uint8)
