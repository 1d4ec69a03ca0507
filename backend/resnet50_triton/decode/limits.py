"""The size of an image, known from its first bytes and checked before any decoder sees it."""

from __future__ import annotations

import struct

from ..errors import BadImage


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image by the size its header states.

    Raises:
        BadImage: no pixels, or more than the limit.
    """
    if width < 1 or height < 1:
        raise BadImage(f"image is {width}x{height} pixels: there is nothing to classify")
    if width * height > max_pixels:
        raise BadImage(
            f"image is {width}x{height} pixels, {width * height} in all; the limit is {max_pixels}: send a smaller one"
        )


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the header of a PNG, GIF, BMP or WebP states them; None where there is no such header."""
    if len(data) < 30:
        return None
    if data.startswith(b"\x89PNG"):
        width, height = struct.unpack_from(">II", data, 16)
    elif data.startswith(b"GIF8"):
        width, height = struct.unpack_from("<HH", data, 6)
    elif data.startswith(b"BM") and data[14] != 12:  # 12: the header of OS/2, whose sizes of 16 bits Pillow checks
        width, height = struct.unpack_from("<ii", data, 18)
        height = abs(height)  # negative where the rows run from the top
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        width, height = _webp_size(data)
    else:
        return None
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
