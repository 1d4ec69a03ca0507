"""The options of decoding, and the limits that bound the cost of hostile images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BadParameter

MODES = ("stretch", "center_crop")


@dataclass(frozen=True)
class DecodeOptions:
    """How images are decoded; the defaults are those of the served model.

    Args:
        mode: `stretch` to 224x224 as OpenCV does (what upstream's scripts do), or `center_crop` as torchvision does.
        accept_truncated: decode what is there of images whose data end early or are corrupt, instead of refusing them.
        scaled_decode: let libjpeg-turbo decode a JPEG that is more than twice as large as needed at 1/2, 1/4 or 1/8.
            Faster, and no longer exact to the mode's reference.
        max_encoded_bytes: larger files are refused unread.
        max_pixels: images with more are refused from their header, before they are decoded.
    """

    mode: str = "stretch"
    accept_truncated: bool = False
    scaled_decode: bool = False
    max_encoded_bytes: int = 32 << 20
    max_pixels: int = 64_000_000  # 8000 x 8000; the largest of ImageNet has some 30 million

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise BadParameter(f"decode mode is '{self.mode}', it must be {' or '.join(MODES)}")

    @classmethod
    def of_parameters(cls, parameters: Mapping[str, Any]) -> DecodeOptions:
        """Those of the model `preprocess`, from its parameters."""
        return cls(
            parameters["mode"],
            parameters["truncated"] == "accept",
            parameters["scaled_decode"] == "on",
            parameters["max_encoded_bytes"],
            parameters["max_pixels"],
        )
