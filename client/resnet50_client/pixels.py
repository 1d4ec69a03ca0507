"""Decode an image in the client, for models that take PIXELS: what the server's `preprocess` does in mode `stretch`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from resnet50_client.errors import DatasetError, RequestRefused
from resnet50_client.formats import as_server_takes

SIZE = 224


def require_opencv() -> None:
    """Load OpenCV.

    Raises:
        DatasetError: it is not installed.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise DatasetError(
            f"decoding in the client needs OpenCV ({error}): pip install 'resnet50-client[pixels]'"
        ) from error


def decode_pixels(data: bytes, channel_order: str = "BGR") -> npt.NDArray[np.uint8]:
    """Decode and stretch to 224x224, bilinear, as the original's scripts do: cv2.imread and cv2.resize.

    Args:
        data: one encoded image.
        channel_order: BGR, or RGB for a model whose parameter `channel_order` says so.

    Returns:
        uint8 (224, 224, 3).

    Raises:
        RequestRefused: no image, or a damaged one: it fails alone, as it would on the server.
    """
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None and (sent := as_server_takes(data))[1]:  # such as HEIC, which OpenCV does not read
        image = cv2.imdecode(np.frombuffer(sent[0], np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise RequestRefused(f"image of {len(data)} bytes, starting {data[:8].hex(' ')}, cannot be decoded by OpenCV")
    small = np.asarray(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.ascontiguousarray(small[..., ::-1]) if channel_order == "RGB" else small
