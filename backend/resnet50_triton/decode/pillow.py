"""Everything that is not a plain JPEG: PNG, WebP, BMP, GIF (of animations the first frame) and odd JPEGs, by Pillow."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import BadImage
from .header import check_size
from .options import DecodeOptions
from .orientation import read_orientation, upright

# Pillow reads dozens of formats more, some by starting other programs (EPS): only these are offered hostile bytes.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


def decode_other(data: bytes, options: DecodeOptions) -> NDArray[np.uint8]:
    """Decode an image of any of FORMATS; alpha is dropped, 16 bits become their upper 8, as OpenCV does.

    Returns:
        uint8 (H, W, 3), R, G, B (Pillow's order: to exchange 224x224 pixels later is cheaper), upright.

    Raises:
        BadImage: none of these formats, too large, or damaged.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size  # a GIF's first frame may exceed the size in its header
            check_size(width, height, options.max_pixels)
            _load(image, options)
            pixels = _rgb(image)
            exif = image.info.get("exif")
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(
            f"image of {len(data)} bytes, the first of them {data[:8].hex(' ')} (hex), is not an image that can be "
            f"read: send one of {', '.join(FORMATS)}"
        ) from error
    except Exception as error:
        # Pillow's plugins raise nearly anything on hostile bytes (struct.error, IndexError, SyntaxError, ...).
        raise BadImage(
            f"image of {len(data)} bytes, the first of them {data[:8].hex(' ')} (hex), is damaged: {error}"
        ) from error
    return upright(pixels, read_orientation(exif))


def _load(image: Image.Image, options: DecodeOptions) -> None:
    try:
        image.load()
    except OSError:
        if not options.accept_truncated:
            raise
        # Pillow keeps the rows it had decoded; without tiles left to read it takes them for the whole picture.
        # Its own switch for this, LOAD_TRUNCATED_IMAGES, would change it for the whole process.
        image.tile = []  # type: ignore[attr-defined]
        image.load()


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16 bit grey; Pillow's own conversion would clip it to white
        grey = (np.asarray(image).astype(np.int32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
