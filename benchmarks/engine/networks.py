"""A network of the card's shape from a seed, its thresholds placed so that every activation level occurs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from resnet50_triton.network.parameters import BLOCKS, Network, convs


def spread(rng: np.random.Generator, channels: int, levels: int, step: float) -> NDArray[np.int32]:
    """Ascending thresholds `step` apart around zero, moved a little for each channel."""
    places = (np.arange(levels) - levels // 2) * step + rng.normal(0, step / 2, (channels, 1))
    return np.ceil(places).astype(np.int32)


def random_network(seed: int = 0) -> Network:
    """Like a trained network for the engine: evenly spaced thresholds, activations over all levels."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {
        "conv0.weights": rng.integers(-40, 41, (64, 7, 7, 3), np.int8),
        "conv0.thresholds": spread(rng, 64, 3, 20_000),
        "fc.bias": np.zeros(1000, np.int32),
    }
    for block in BLOCKS:
        first = block.name == "res2a"  # its input is 0..3, the others' 0..15 around 8
        base = (1, 2, 3) if first else (8, 9, 11)
        arrays[f"{block.name}.in.thresholds"] = np.tile(np.array(base, np.int32), (block.cin, 1))
        for conv in convs(block):
            packed = (conv.cout, conv.ksize, conv.ksize, conv.cin // 8)
            arrays[f"{conv.name}.weights"] = rng.integers(0, 256, packed, np.uint8)
            deviation = 1.5 * np.sqrt(conv.ksize**2 * conv.cin)
            step = deviation * (0.7 if conv.levels == 3 else 0.25)
            arrays[f"{conv.name}.thresholds"] = spread(rng, conv.cout, conv.levels, step)
    return Network.check(arrays)
