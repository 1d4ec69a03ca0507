"""What tests of several packages share: networks, weights and pictures that they make for themselves; waiting."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from resnet50_triton.network.parameters import BLOCKS, SHAPES, Network, convs


def random_network(seed: int) -> Network:
    """A network of random weights, with thresholds near each layer's spread, so that activations take every value."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, (shape, dtype) in SHAPES.items():
        if name.endswith(".weights"):
            limits = np.iinfo(dtype)  # type: ignore[type-var]
            arrays[name] = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    arrays["fc.bias"] = rng.integers(-20000, 20000, 1000, np.int32)
    arrays["conv0.thresholds"] = _thresholds(rng, (64, 3), spread=100_000.0)
    for index, block in enumerate(BLOCKS):
        low, high = (1, 4) if index == 0 else (8, 14)  # the first block's input is 0..3, the others' 0..15
        arrays[f"{block.name}.in.thresholds"] = np.sort(rng.integers(low, high, (block.cin, 3)), axis=1)
        for conv in convs(block):
            spread = 2.0 * np.sqrt(conv.cin) * conv.ksize
            arrays[f"{conv.name}.thresholds"] = _thresholds(rng, (conv.cout, conv.levels), spread)
    return Network.check(arrays)


def random_weights(seed: int) -> NDArray[np.int8]:
    """FC weights: int8 (1000, 2048)."""
    return np.random.default_rng(seed).integers(-128, 127, (1000, 2048), np.int8, endpoint=True)


def random_pixels(seed: int, images: int) -> NDArray[np.uint8]:
    """Pictures of coloured blocks with noise: uint8 (N, 224, 224, 3)."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (images, 8, 8, 3)).repeat(28, 1).repeat(28, 2)
    noise = rng.integers(-20, 21, (images, 224, 224, 3))
    return np.clip(blocks + noise, 0, 255).astype(np.uint8)


def _thresholds(rng: np.random.Generator, shape: tuple[int, int], spread: float) -> NDArray[np.int32]:
    return np.sort(rng.normal(0, spread, shape), axis=1).astype(np.int32)


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)
