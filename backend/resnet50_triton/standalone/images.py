"""Finds the files to classify, and reads them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..decode import DecodeOptions, decode_image
from ..errors import BadImage, BadParameter

OPTIONS = DecodeOptions()  # as upstream: stretched, by OpenCV's bilinear resize


def find_images(path: Path, leave_out: Collection[Path] = ()) -> list[Path]:
    """The files to classify: `path` itself, or every file in it, by name; what its folders hold is left alone.

    Args:
        path: a file or a folder.
        leave_out: files that are known to be none, such as the labels.

    Raises:
        BadParameter: there is no such file or folder, or nothing in it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadParameter(f"--img_path {path}: no such file or folder")
    others = {file.resolve() for file in leave_out}
    images = sorted(file for file in path.iterdir() if file.is_file() and file.resolve() not in others)
    if not images:
        raise BadParameter(f"--img_path {path}: the folder holds no files; name the folder that the images are in")
    return images


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Read and decode an image: uint8 (224, 224, 3), B, G, R. Raises BadImage."""
    try:
        size = path.stat().st_size
        if size > OPTIONS.max_encoded_bytes:  # not even read
            raise BadImage(f"file has {size} bytes, the limit is {OPTIONS.max_encoded_bytes}")
        data = path.read_bytes()
    except OSError as error:
        raise BadImage(f"file cannot be read: {error.strerror or error}") from error
    return decode_image(data, options=OPTIONS)
