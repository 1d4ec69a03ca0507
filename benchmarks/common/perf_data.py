"""Input data for perf_analyzer, without the expected answers that `resnet50-client perf-data` writes."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable
from pathlib import Path


def write_images(path: Path, images: Iterable[bytes]) -> Path:
    """Write encoded images for `classify`."""
    # perf_analyzer sends what it is given: a string with its length before it.
    tensors = [base64.b64encode(struct.pack("<I", len(image)) + image).decode() for image in images]
    path.write_text(json.dumps({"data": [{"IMAGE": {"content": {"b64": t}, "shape": [1]}} for t in tensors]}))
    return path
