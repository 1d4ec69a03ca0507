"""The tensors that cross the server, stated once. A test holds every config.pbtxt to this table.

Shape legend for the whole package: N batch, H height, W width, C channels (always B, G, R at the input).
"""

from __future__ import annotations

from dataclasses import dataclass

IMAGE_SIZE = 224  # H and W of the kernel's input
CHANNELS = 3
PIXELS_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, CHANNELS)
PIXELS_SIZE_BYTES = IMAGE_SIZE * IMAGE_SIZE * CHANNELS  # per image, uint8
CLASSES = 1000
FEATURES = 2048  # per image, after the sum over 7x7
TOP = 5


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of the protocol; `dims` are per item, without the batch dimension."""

    name: str
    triton_type: str
    dims: tuple[int, ...]


IMAGE = TensorSpec("IMAGE", "TYPE_STRING", (1,))  # one encoded image
PIXELS = TensorSpec("PIXELS", "TYPE_UINT8", PIXELS_SHAPE)  # B, G, R, raw 0..255
LOGITS = TensorSpec("LOGITS", "TYPE_FP32", (CLASSES,))  # int32 accumulators, exact up to 2^24
TOP5 = TensorSpec("TOP5", "TYPE_INT32", (TOP,))  # class ids, best first, ties to the lower id
PROVENANCE = TensorSpec("PROVENANCE", "TYPE_STRING", (1,))  # where and how an image was computed, as JSON
