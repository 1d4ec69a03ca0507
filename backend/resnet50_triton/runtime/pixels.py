"""Copies pixels into a card's buffer, which holds B, G, R."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def _copy_bgr(pixels: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    np.copyto(target, pixels)


def _copy_rgb(pixels: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    # OpenCV swaps the channels in about the time of a copy; NumPy's reversed view takes ten times as long.
    rows = (-1, *target.shape[2:])
    cv2.cvtColor(pixels.reshape(rows), cv2.COLOR_RGB2BGR, dst=target.reshape(rows))


# By the model's parameter `channel_order`: from uint8 (N, 224, 224, 3) to the buffer's, of equal shape.
COPIES = {"BGR": _copy_bgr, "RGB": _copy_rgb}
