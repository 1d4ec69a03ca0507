"""The sample's head: a ridge regression from features to classes in closed form, rounded to what the kernel takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..tensors import CLASSES, FEATURES

RIDGE = 0.01  # of the mean squared length of the centred features
UNUSED_BIAS = -(1 << 24)  # far below every drawn class, and exact in FP32


def fit_head(features: NDArray[np.uint16], classes: NDArray[np.int64]) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Fit the fully connected layer to training pictures.

    Args:
        features: uint16 (N, 2048).
        classes: the class id of each, (N,), from 0 without gaps; no class above the largest of them is ever the best.

    Returns:
        weights int8 (1000, 2048) and biases int32 (1000,). The same on every machine as far as rounding to int8 hides
        the last bits of float64, in which BLAS libraries differ.
    """
    count = int(classes.max()) + 1
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features - mean
    targets = np.eye(count)[classes]
    prior = targets.mean(axis=0)
    # The dual form: N x N is smaller than 2048 x 2048 here.
    gram = centred @ centred.T
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    solution = (centred.T @ np.linalg.solve(gram, targets - prior)).T  # (count, 2048)

    scale = 127 / np.abs(solution).max()
    weights = np.zeros((CLASSES, FEATURES), np.int8)
    weights[:count] = np.rint(solution * scale)
    biases = np.full(CLASSES, UNUSED_BIAS, np.int32)
    # From the rounded weights, so that their rounding does not favour a class.
    biases[:count] = np.rint(scale * prior - weights[:count] @ mean)
    return weights, biases
