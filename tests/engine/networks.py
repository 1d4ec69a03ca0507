"""Networks from a seed, for tests that need any network rather than a trained one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from resnet50_triton.network.parameters import SHAPES, Network


def random_network(seed: int, *, lines: bool = False) -> Network:
    """Weights and thresholds from a seed.

    Args:
        seed: equal seeds give equal networks.
        lines: evenly spaced thresholds, as training gives them; else anywhere, unsorted, some at the limits of int32.
    """
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {}
    for name, (shape, dtype) in SHAPES.items():
        limits = np.iinfo(dtype)  # type: ignore[type-var]
        if name.endswith("in.thresholds"):
            arrays[name] = rng.integers(-1, 18, shape, np.int32)
        elif name.endswith("thresholds"):
            _, *window, packed = SHAPES[name.replace("thresholds", "weights")][0]
            # Two standard deviations of the sums, so that every level occurs.
            spread = 200_000 if name.startswith("conv0") else int(4 * np.sqrt(np.prod(window) * packed * 8))
            drawn = rng.integers(-spread, spread + 1, shape, np.int32)
            if lines:
                steps = np.exp(rng.uniform(np.log(0.3), np.log(spread), (shape[0], 1))) * np.arange(shape[1])
                arrays[name] = np.ceil(drawn[:, :1] + steps).astype(np.int32)
                continue
            extreme = rng.choice(np.array([limits.min, limits.max], np.int32), shape)
            arrays[name] = np.where(rng.random(shape) < 0.05, extreme, drawn)
        else:
            arrays[name] = rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    arrays["fc.bias"] = rng.integers(-30_000, 30_000, 1000, np.int32)
    return Network.check(arrays)
