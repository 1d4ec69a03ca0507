"""The tensors that cross the server, stated once. A test holds every config.pbtxt to this table.

Shape legend for the whole package: N batch, H height, W width, C channels (B, G, R on the card).
"""

from __future__ import annotations

import struct
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
PIXELS = TensorSpec("PIXELS", "TYPE_UINT8", PIXELS_SHAPE)  # raw 0..255, in the model's channel order
LOGITS = TensorSpec("LOGITS", "TYPE_FP32", (CLASSES,))  # int32 accumulators, exact up to 2^24
TOP5 = TensorSpec("TOP5", "TYPE_INT32", (TOP,))  # class ids, best first, ties to the lower id

# The fields of PROVENANCE for each image, in this order; `_ns`: nanoseconds since 1970 on the host's clock.
PROVENANCE_FIELDS = (
    "card_kind",  # one of CARD_KINDS
    "card_index",
    "xclbin_uuid_high",  # the UUID's 128 bits, each half as a signed number
    "xclbin_uuid_low",
    "batch_size",  # of the run that the image was in
    "received_ns",  # Triton handed the request over
    "upload_start_ns",
    "upload_end_ns",
    "kernel_start_ns",
    "kernel_end_ns",
    "download_start_ns",
    "download_end_ns",
    "runs",  # 1, or more where the image was run again after a fault
)
CARD_KINDS = {"software": 1, "timing": 2, "xrt": 3, "xrt emulation": 4, "faulty": 5}
PROVENANCE = TensorSpec("PROVENANCE", "TYPE_INT64", (len(PROVENANCE_FIELDS),))


def provenance_row(card: str, is_emulation: bool, xclbin_uuid: str, *rest: int) -> tuple[int, ...]:
    """One image's PROVENANCE.

    Args:
        card: its name, "xrt:0".
        is_emulation: whether the xclbin is for XRT's emulation instead of an Alveo.
        xclbin_uuid: 32 hex digits.
        rest: the fields from batch_size on.
    """
    kind, _, index = card.partition(":")
    high, low = struct.unpack(">qq", bytes.fromhex(xclbin_uuid))
    code = CARD_KINDS.get("xrt emulation" if kind == "xrt" and is_emulation else kind, 0)
    return (code, int(index), high, low, *rest)


def kernel_outputs(kernel: str, provenance: bool) -> list[TensorSpec]:
    """The outputs of the model of a kernel, "logits" or "top5": one, and PROVENANCE where it is switched on."""
    return [LOGITS if kernel == "logits" else TOP5, *([PROVENANCE] if provenance else [])]
