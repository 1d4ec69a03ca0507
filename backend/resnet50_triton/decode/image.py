"""One image, from bytes to pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import BadImage
from ..tensors import PIXELS_SHAPE
from .jpeg import START, decode_jpeg
from .options import DecodeOptions
from .pillow import decode_other
from .resize import fit

DEFAULT = DecodeOptions()


def decode_image(
    data: bytes, out: NDArray[np.uint8] | None = None, options: DecodeOptions = DEFAULT
) -> NDArray[np.uint8]:
    """Decode one image and bring it to 224x224; the GIL is released for nearly all of the time.

    Args:
        data: one encoded image: JPEG, PNG, WebP, BMP or GIF. Its first bytes decide, not its file's name.
        out: where to put the pixels, uint8 (224, 224, 3), contiguous; made where not given.
        options: mode and limits.

    Returns:
        uint8 (224, 224, 3), B, G, R.

    Raises:
        BadImage: no image, a damaged one, or one over the limits. Nothing else, whatever the bytes.
    """
    if len(data) == 0:
        raise BadImage("image has 0 bytes: send one encoded image (JPEG, PNG, ...)")
    if len(data) > options.max_encoded_bytes:
        raise BadImage(f"image has {len(data)} bytes, the limit is {options.max_encoded_bytes}: send a smaller file")
    if out is None:
        out = np.empty(PIXELS_SHAPE, np.uint8)
    try:
        pixels = decode_jpeg(data, options) if data.startswith(START) else None
        if pixels is not None:
            fit(pixels, options, out)
        else:
            fit(decode_other(data, options), options, out)
            out[:] = out[:, :, ::-1]
    except MemoryError as error:
        raise BadImage(f"image of {len(data)} bytes needs more memory than there is: send a smaller one") from error
    return out
