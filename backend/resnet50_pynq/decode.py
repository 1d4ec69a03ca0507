"""Encoded image bytes -> the pixels the kernel wants. Importable without Triton: a client may decode for itself."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .errors import BadImage
from .tensors import IMAGE_SIZE, PIXELS_SHAPE

MAX_ENCODED_BYTES = 32 << 20
MAX_PIXELS = 64_000_000  # 8000 x 8000


def decode_image(data: bytes, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Decode one image and stretch it to 224x224 (Pillow, bilinear).

    Args:
        data: one encoded image, any format that Pillow reads.
        out: where to put the pixels, uint8 (224, 224, 3); made where not given.

    Returns:
        uint8 (224, 224, 3), B, G, R.

    Raises:
        BadImage: no image, an unreadable or truncated one, or one over the limits.
    """
    if len(data) == 0:
        raise BadImage("image has 0 bytes: send one encoded image (JPEG, PNG, ...)")
    if len(data) > MAX_ENCODED_BYTES:
        raise BadImage(f"image has {len(data)} bytes, the limit is {MAX_ENCODED_BYTES}")
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:  # known from the header, before anything is decoded
                raise BadImage(f"image is {width}x{height} pixels, the limit is {MAX_PIXELS} in all")
            small = image.convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    except BadImage:
        raise
    except Exception as error:
        # Pillow's plugins raise nearly anything on hostile bytes (struct.error, IndexError, SyntaxError, ...).
        kind = "is not an image that can be read" if isinstance(error, UnidentifiedImageError) else "is damaged"
        detail = "" if isinstance(error, UnidentifiedImageError) else f": {error}"
        raise BadImage(f"image of {len(data)} bytes (starting {data[:8]!r}) {kind}{detail}") from error
    if out is None:
        out = np.empty(PIXELS_SHAPE, np.uint8)
    out[:] = np.asarray(small)[:, :, ::-1]
    return out
