"""One image, from bytes to pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import BadImage
from ..tensors import PIXELS_SHAPE
from .header import ImageHeader, read_header
from .jpeg import decode_jpeg
from .options import DecodeOptions
from .pillow import decode_other
from .resize import resize

DEFAULT = DecodeOptions()


def decode_image(
    data: bytes, out: NDArray[np.uint8] | None = None, options: DecodeOptions = DEFAULT
) -> NDArray[np.uint8]:
    """Decode one image and bring it to 224x224; the GIL is released for nearly all of the time.

    How long that takes is bounded by the limits alone. `DecodePool` bounds the time too.

    Args:
        data: one encoded image: JPEG, PNG, WebP, BMP or GIF. Its first bytes decide, not its file's name.
        out: where to put the pixels, uint8 (224, 224, 3), contiguous; made where not given.
        options: mode and limits.

    Returns:
        uint8 (224, 224, 3), B, G, R.

    Raises:
        BadImage: no image, a damaged one, or one over the limits. Nothing else, whatever the bytes.
    """
    header = read_header(data, options)
    if out is None:
        out = np.empty(PIXELS_SHAPE, np.uint8)
    decode_known(data, header, out, options)
    return out


def decode_known(data: bytes, header: ImageHeader, out: NDArray[np.uint8], options: DecodeOptions) -> None:
    """Decode an image whose header was read, and found within the limits; as `decode_image`."""
    try:
        if header.is_fast:
            resize(decode_jpeg(data, header, options), options, out)
        else:
            resize(decode_other(data, options), options, out)
            out[:] = out[:, :, ::-1]
    except MemoryError as error:
        raise BadImage(f"image of {len(data)} bytes needs more memory than there is: send a smaller one") from error
