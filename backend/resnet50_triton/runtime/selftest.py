"""Checks the outputs of a card: the self-test (known-answer test), and the cross-check of live batches in software."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WrongResult
from ..network.engine import Engine, open_engine
from ..network.parameters import Network
from ..ranking import top5
from ..tensors import PIXELS_SHAPE
from ..xclbin.kernel_info import KernelInfo
from .kernel import Kernel

_SEED = 7


def selftest_pixels() -> NDArray[np.uint8]:
    """The self-test image: uint8 (1, 224, 224, 3), smooth on the left, noise on the right; the same everywhere."""
    rng = np.random.Generator(np.random.PCG64(_SEED))
    picture = rng.integers(0, 256, PIXELS_SHAPE, np.uint8)
    half = PIXELS_SHAPE[1] // 2
    rows, columns = np.indices((PIXELS_SHAPE[0], half))
    picture[:, :half] = np.stack([rows, columns * 2, (rows + columns) // 2], axis=2)
    return picture[None]


class ReferenceModel:
    """The software engine, which knows what a card must answer."""

    def __init__(self, network: Network, weights: NDArray[np.int8], xclbin: KernelInfo, threads: int) -> None:
        self._engine: Engine = open_engine(network, threads)
        self._weights = weights
        self._ranks = xclbin.kernel == "top5"

    def outputs(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """pixels: uint8 (N, 224, 224, 3), B, G, R -> what the kernel returns: int32 (N, 1000) or uint32 (N, 5)."""
        logits = self._engine.logits(pixels, self._weights)
        return top5(logits) if self._ranks else logits


def reference_model(
    xclbin: KernelInfo, network: Network | None, weights: NDArray[np.int8], threads: int
) -> ReferenceModel | None:
    """The reference model of `network`, or of the network in a software xclbin; None where neither is there."""
    if network is None:
        if xclbin.target != "software":
            return None
        network = Network.from_bytes(xclbin.network_bytes())
    return ReferenceModel(network, weights, xclbin, threads)


class SelfTest:
    """A known-answer test: one image with known outputs.

    Args:
        reference: computes the outputs; None where the card's network is not known here (an FPGA's bitstream does not
            tell it): then the first outputs are taken for right if a second run gives them again.
    """

    def __init__(self, reference: ReferenceModel | None) -> None:
        self.pixels = selftest_pixels()
        self._expected = None if reference is None else reference.outputs(self.pixels)

    def run(self, kernel: Kernel, timeout_s: float) -> None:
        """Test a card that does nothing else.

        Raises:
            WrongResult: the outputs are not the known ones.
            CardError: the card failed.
        """
        buffers = kernel.selftest_buffers
        for _ in range(2 if self._expected is None else 1):
            buffers.load(self.pixels)
            kernel.wait(kernel.start(buffers, 1), timeout_s)
            outputs = buffers.download(1)
            if self._expected is None:
                self._expected = outputs.copy()
            _compare(f"card '{kernel.card}': the self-test image", outputs, self._expected)


class CrossCheck:
    """Computes a share of the live batches once more, before they are answered.

    Args:
        reference: what computes.
        percent: of the batches, 0 to 100.
    """

    def __init__(self, reference: ReferenceModel | None, percent: float) -> None:
        self._reference = reference
        self._share = percent / 100
        self._due = 0.0

    def is_due(self) -> bool:
        """Whether the next batch is to be checked: evenly spread, so that no card is left out."""
        self._due += self._share
        if self._due < 1 - 1e-9:
            return False
        self._due -= 1
        return True

    def run(self, card: str, pixels: NDArray[np.uint8], outputs: NDArray[Any]) -> None:
        """Compute again what a card has put out. Raises WrongResult."""
        if self._reference is not None:
            _compare(f"card '{card}': a batch of {len(pixels)}", outputs, self._reference.outputs(pixels))


def _compare(what: str, found: NDArray[Any], expected: NDArray[Any]) -> None:
    wrong = int(np.count_nonzero(found != expected))
    if wrong:
        raise WrongResult(
            f"{what} came back with {wrong} of {expected.size} values wrong; the card is not used further", expected
        )
