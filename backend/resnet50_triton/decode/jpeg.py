"""The fast path: JPEGs by libjpeg-turbo (simplejpeg), with the DCT and upsampling that OpenCV and Pillow use."""

from __future__ import annotations

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from ..errors import BadImage
from ..tensors import IMAGE_SIZE
from .header import ImageHeader
from .options import DecodeOptions
from .orientation import read_orientation, upright


def decode_jpeg(data: bytes, header: ImageHeader, options: DecodeOptions) -> NDArray[np.uint8]:
    """Decode a JPEG whose header `is_fast`.

    Returns:
        uint8 (H, W, 3), B, G, R, upright.

    Raises:
        BadImage: damaged.
    """
    smallest = IMAGE_SIZE if options.scaled_decode else 0
    try:
        pixels = simplejpeg.decode_jpeg(
            data, "BGR", min_height=smallest, min_width=smallest, min_factor=2, strict=not options.accept_truncated
        )
    except ValueError as error:
        raise BadImage(f"jpeg of {len(data)} bytes is damaged: {error}") from error
    return upright(pixels, read_orientation(header.exif))
