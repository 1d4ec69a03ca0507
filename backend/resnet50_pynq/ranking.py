"""Logits -> the best classes, fast: what LabelSelect does on the card, for kernels that return the logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .tensors import CLASSES, TOP

_CLASS_BITS = 10  # 1000 classes fit in 10 bits
_LAST = (1 << _CLASS_BITS) - 1


def top5(logits: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Rank the classes of each image.

    Args:
        logits: int32 (N, 1000).

    Returns:
        uint32 (N, 5): class ids, best first, ties to the lower id.
    """
    # One unique key per class, the logit above the reversed class id: then a partial sort, which is not stable, is
    # still exact, and about five times as fast as the stable sort of all 1000 (measured at N = 128).
    reversed_ids = _LAST - np.arange(CLASSES, dtype=np.int64)
    keys = (logits.astype(np.int64) << _CLASS_BITS) | reversed_ids
    best = np.sort(np.partition(keys, CLASSES - TOP, axis=1)[:, -TOP:], axis=1)[:, ::-1]
    return (_LAST - (best & _LAST)).astype(np.uint32)
