"""Logits -> the best classes, fast: what LabelSelect does on the card, for kernels that return the logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .tensors import CLASSES, TOP

_CLASS_BITS = 10  # 1000 classes fit in 10 bits
_LAST = (1 << _CLASS_BITS) - 1
_REVERSED_IDS = _LAST - np.arange(CLASSES, dtype=np.int64)
_BEST = range(CLASSES - TOP, CLASSES)  # places, in ascending order


def top5(logits: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Rank the classes of each image.

    Args:
        logits: int32 (N, 1000).

    Returns:
        uint32 (N, 5): class ids, best first, ties to the lower id.
    """
    # One unique key per class, the logit above the reversed class id: then a partial sort, which is not stable, is
    # still exact, and about five times as fast as the stable sort of all 1000 (measured at N = 128).
    keys = np.left_shift(logits, _CLASS_BITS, dtype=np.int64)
    keys |= _REVERSED_IDS
    keys.partition(_BEST, axis=1)
    return (~keys[:, : -TOP - 1 : -1] & _LAST).astype(np.uint32)
