"""Applies the EXIF orientation."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

_TAG = 0x0112  # of TIFF's first directory, whose entries are: tag, type, count, value or its offset
# SHORT by the standard; what else writers put there is taken as Pillow takes it.
_NUMBERS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_RATIONALS = {5: "II", 10: "ii"}

# Orientation -> (transpose first?, then cv2.flip's code or None): 2 is mirrored, 3 upside down, 6 turned left, ...
_FLIPS: dict[int, tuple[bool, int | None]] = {
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
        tag, kind, count = struct.unpack_from(order + "HHI", tiff, entry)
        if tag == _TAG:
            return _first_number(tiff, order, entry + 8, kind, count)
    return 1


def _first_number(tiff: bytes, order: str, at: int, kind: int, count: int) -> int:
    """The first number of an entry whose value, or the offset of it, is at `at`; 1 where it is no orientation."""
    form = order + (_NUMBERS.get(kind) or _RATIONALS.get(kind) or "")
    size = struct.calcsize(form)
    if not size or not count:
        return 1
    if size * count > 4:
        (at,) = struct.unpack_from(order + "I", tiff, at)
    if at + size * count > len(tiff):
        return 1
    value, *denominator = struct.unpack_from(form, tiff, at)
    if denominator:
        value = value / denominator[0] if denominator[0] else 1
    return int(value) if value in _FLIPS else 1


def upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """`pixels` uint8 (H, W, 3) turned and mirrored as `orientation` says."""
    if orientation not in _FLIPS:
        return pixels
    transpose, flip = _FLIPS[orientation]
    turned = cv2.transpose(pixels) if transpose else pixels
    if flip is not None:
        turned = cv2.flip(turned, flip)
    return np.asarray(turned, np.uint8)
