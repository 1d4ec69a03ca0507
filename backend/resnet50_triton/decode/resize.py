"""From an image of any size to 224x224."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import BadImage
from ..tensors import IMAGE_SIZE
from .options import DecodeOptions

SHORT_SIDE = 256  # of center_crop, before the crop
LONG_SIDE_LIMIT = 100 * SHORT_SIDE  # center_crop blows up what is narrow: 40000x1 pixels to 10240000x256


def resize(pixels: NDArray[np.uint8], options: DecodeOptions, out: NDArray[np.uint8]) -> None:
    """Bring `pixels` uint8 (H, W, 3) to `out` uint8 (224, 224, 3) by `options.mode`.

    Raises:
        BadImage: too narrow for center_crop.
    """
    if options.mode == "stretch":
        # 224 x 224 is below the size from which OpenCV would start threads of its own, beside the pool's.
        cv2.resize(pixels, (IMAGE_SIZE, IMAGE_SIZE), dst=out, interpolation=cv2.INTER_LINEAR)
    else:
        out[:] = _center_crop(pixels)


def _center_crop(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """torchvision's Resize(256), which on a PIL image is Pillow's bilinear, and CenterCrop(224)."""
    height, width = pixels.shape[:2]
    short, long = sorted((height, width))
    long = int(SHORT_SIDE * long / short)
    if long > LONG_SIDE_LIMIT:
        raise BadImage(
            f"image is {width}x{height} pixels, too narrow for center_crop: with its short side brought to "
            f"{SHORT_SIDE} the other would be {long}, the limit is {LONG_SIDE_LIMIT}"
        )
    size = (SHORT_SIDE, long) if width <= height else (long, SHORT_SIDE)
    image = Image.fromarray(pixels)  # Pillow treats the channels alike, so that B, G, R need no exchange
    resized = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - IMAGE_SIZE) / 2.0) for side in size)
    return np.asarray(resized.crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE)))
