"""Copies pixels between the channel order of a model and that of the card, which is B, G, R."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray


def _copy_bgr(pixels: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    if pixels is not target:
        np.copyto(target, pixels)


def _copy_rgb(pixels: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    # OpenCV swaps the channels in about the time of a copy; NumPy's reversed view takes ten times as long.
    rows = (-1, *target.shape[2:])
    cv2.cvtColor(pixels.reshape(rows), cv2.COLOR_RGB2BGR, dst=target.reshape(rows))


CopyPixels = Callable[[NDArray[np.uint8], NDArray[np.uint8]], None]

# By the parameter `channel_order` of a model: copies uint8 (N, 224, 224, 3) from or to B, G, R, onto itself too.
COPIES: dict[str, CopyPixels] = {"BGR": _copy_bgr, "RGB": _copy_rgb}
