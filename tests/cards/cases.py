"""What the contract suite needs to know of a card."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from resnet50_triton.cards import open_card
from resnet50_triton.errors import CardNotFound
from resnet50_triton.network.reference import top_k
from resnet50_triton.xclbin.kernel_info import read_xclbin


@cache
def lacking_for_xrt() -> str | None:
    """Why no Alveo takes part; None where one does."""
    try:
        open_card("xrt:0")
    except CardNotFound as error:
        return str(error)
    return None if "RESNET50_XRT_XCLBIN" in os.environ else "RESNET50_XRT_XCLBIN does not name an xclbin for xrt:0"


@dataclass(frozen=True)
class Case:
    """One card with one image on it; expected: int32 (N, 1000) or uint32 (N, 5)."""

    card: str
    xclbin: Path
    weights: NDArray[np.int8]
    pixels: NDArray[np.uint8]
    logits: NDArray[np.int32]

    @property
    def in_hw_emu(self) -> bool:
        """Whether XRT emulates the card: it has no device file, no sensors and no count of buffers then."""
        return self.card.startswith("xrt") and "XCL_EMULATION_MODE" in os.environ

    @property
    def outputs(self) -> str:
        return read_xclbin(self.xclbin).kernel

    @property
    def expected(self) -> NDArray[Any]:
        return self.logits if self.outputs == "logits" else top_k(self.logits)
