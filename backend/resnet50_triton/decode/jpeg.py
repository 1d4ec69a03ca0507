"""The fast path: JPEGs by libjpeg-turbo (simplejpeg), with the DCT and upsampling that OpenCV and Pillow use."""

from __future__ import annotations

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from ..errors import BadImage
from ..tensors import IMAGE_SIZE
from .limits import check_size
from .options import DecodeOptions
from .orientation import read_orientation, upright

START = b"\xff\xd8\xff"

# A progressive JPEG visits every coefficient once a scan: a small file with thousands of scans takes minutes. Encoders
# write about 10; libjpeg-turbo's own tools speak of 500 as far beyond any honest file.
MAX_SCANS = 100

_SOS, _APP1 = 0xDA, 0xE1
_PROGRESSIVE = (0xC2, 0xCA)  # Huffman, arithmetic
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))


def decode_jpeg(data: bytes, options: DecodeOptions) -> NDArray[np.uint8] | None:
    """Decode a JPEG.

    Returns:
        uint8 (H, W, 3), B, G, R, upright; None for the rare kinds that libjpeg-turbo's simple interface does not take.

    Raises:
        BadImage: too large, too many scans, or damaged.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    check_size(width, height, options.max_pixels)
    exif, progressive = _read_header(data)
    scans = data.count(bytes([0xFF, _SOS])) if progressive else 1
    if scans > MAX_SCANS:
        raise BadImage(f"progressive jpeg has {scans} scans, the limit is {MAX_SCANS}: save it anew with fewer")
    smallest = IMAGE_SIZE if options.scaled_decode else 0
    try:
        pixels = simplejpeg.decode_jpeg(
            data, "BGR", min_height=smallest, min_width=smallest, min_factor=2, strict=not options.accept_truncated
        )
    except ValueError as error:
        raise BadImage(f"jpeg of {len(data)} bytes, {width}x{height} pixels, is damaged: {error}") from error
    return upright(pixels, read_orientation(exif))


def _read_header(data: bytes) -> tuple[bytes | None, bool]:
    """The EXIF data, and whether the JPEG is progressive: from the segments before the first scan."""
    exif, progressive = None, False
    position = len(START) - 1
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == _SOS:
            break
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _APP1 and exif is None and data.startswith(b"Exif\0\0", position + 4):
            exif = data[position + 4 : end]
        progressive = progressive or marker in _PROGRESSIVE
        position = end
    return exif, progressive
