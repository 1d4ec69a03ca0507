"""What computes the network on a CPU: one face, the fastest engine that is installed behind it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .params import Network
from .reference import ReferenceEngine


class Engine(Protocol):
    """A network loaded for computing; safe to call from one thread at a time."""

    name: str

    def stages(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        """Every stage's output by name ("stem", "res2a", ...): uint8 (N, H, W, C)."""
        ...

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """pixels: uint8 (N, 224, 224, 3) BGR -> the head's input, uint16 (N, 2048)."""
        ...

    def logits(self, pixels: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
        """pixels: uint8 (N, 224, 224, 3) BGR, weights: int8 (1000, 2048) -> accumulators int32 (N, 1000)."""
        ...


def open_engine(network: Network, threads: int = 0) -> Engine:  # noqa: ARG001  the reference leaves threads to BLAS
    """Load `network` into the fastest engine here; `threads` 0 means one per CPU this process may use."""
    return ReferenceEngine(network)
