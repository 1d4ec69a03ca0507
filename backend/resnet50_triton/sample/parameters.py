"""The sample's network parameters: filters and binary weights from a seed, thresholds calibrated layer by layer.

A deep network of random binary weights forgets its input unless each layer is kept in its useful range. Three rules do
that here: every threshold sits at a quantile of what its channel really sees on a few pictures; the branch of a block
moves the residual stream by at most `BRANCH_STEPS` levels, so that the shortcut carries the picture through; and the
weights mix channels without loss and smooth over pixels (see `binary_weights`).
Everything from the pictures on is integer arithmetic, so the result does not depend on the order of sums.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..network.engine import convolve, convolve_pixels
from ..network.parameters import BLOCKS, Conv, Network, convs
from ..network.reference import stem, threshold
from ..tensors import CLASSES

BRANCH_STEPS = 2  # a branch gives 8 - BRANCH_STEPS .. 8 + BRANCH_STEPS
LEVELS_2BIT = (0.4, 0.65, 0.87)  # quantiles where a 2-bit activation becomes 1, 2 and 3
STEM_LEVELS = (0.35, 0.65, 0.9)  # before the max pool, which raises what it passes on
SAMPLES = 1 << 12  # values a channel that a quantile is taken of, at most

# The published kernel's thresholds are 16 bits wide: these two are always and never reached.
ALWAYS, NEVER = -(1 << 15), (1 << 15) - 1


def _normal_quantiles(count: int, spread: float) -> tuple[float, ...]:
    """`count` quantiles that cut a bell curve at equal steps over +- `spread` standard deviations."""
    cuts = np.linspace(-spread, spread, count).tolist()
    return tuple(0.5 * (1 + math.erf(cut / math.sqrt(2))) for cut in cuts)


BRANCH_LEVELS = _normal_quantiles(2 * BRANCH_STEPS, 1.0)
SHORTCUT_LEVELS = _normal_quantiles(15, 2.2)


def _quantiles(sums: NDArray[np.int32], levels: tuple[float, ...]) -> NDArray[np.int32]:
    """Per channel the thresholds that a fraction `levels` of the values stays below. sums: (..., C) -> (C, levels)."""
    flat = sums.reshape(-1, sums.shape[-1])
    # An odd step, lest all samples come from a few columns of the pictures.
    ranked = np.sort(np.ascontiguousarray(flat[:: max(1, len(flat) // SAMPLES | 1)].T), axis=1)
    count = ranked.shape[1]
    return ranked[:, [min(count - 1, int(level * count)) for level in levels]].astype(np.int32)


def conv0_weights(rng: np.random.Generator) -> NDArray[np.int8]:
    """Edges at eight angles and two scales, blobs and edges between colours: int8 (64, 7, 7, 3), B, G, R."""
    y, x = np.mgrid[-3:4, -3:4].astype(np.float64)
    filters = []
    for index in range(64):
        angle, phase = math.pi * (index % 8) / 8, math.pi / 2 * (index // 8 % 2)
        along = x * math.cos(angle) + y * math.sin(angle)
        if index < 32:  # brightness: gratings
            frequency, direction = (0.14, 0.28)[index // 16], np.ones(3)
        else:  # colour: a random direction, as broad blobs and as slow gratings
            frequency, direction = (0.0, 0.1)[index // 48], rng.normal(size=3)
            phase = phase if frequency else 0.0
        kernel = np.cos(math.tau * frequency * along + phase) * np.exp(-(x**2 + y**2) / 8)
        if frequency:
            kernel -= kernel.mean()
        weights = kernel[..., None] * direction
        filters.append(np.rint(weights / np.abs(weights).max() * 90))
    return np.array(filters).astype(np.int8)


def binary_weights(rng: np.random.Generator, conv: Conv) -> NDArray[np.int8]:
    """Scrambled Hadamard matrices: random +1 and -1 that keep channels apart. int8 (cout, k, k, cin).

    A 3x3 filter has the same signs at all nine taps. So it smooths, and the next stage's stride skips less.
    """
    matrix = np.ones((1, 1), np.int8)
    while len(matrix) < conv.cin:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    signs = np.array([-1, 1], np.int8)
    repeats = -(-conv.cout // conv.cin)
    rows = np.concatenate([rng.permutation(matrix * rng.choice(signs, conv.cin)) for _ in range(repeats)])
    return np.tile(rows[: conv.cout, None, None, :], (1, conv.ksize, conv.ksize, 1))


def calibrated_network(seed: int, pixels: NDArray[np.uint8]) -> Network:
    """Make the sample's parameters, without the head: `fc.bias` is 0.

    Args:
        seed: of the filters and the binary weights.
        pixels: uint8 (N, 224, 224, 3) BGR, a few pictures of all kinds.

    Returns:
        A complete network.
    """
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {"fc.bias": np.zeros(CLASSES, np.int32)}

    filters = conv0_weights(rng)
    # One picture at a time bounds the memory: 49 taps of 3 channels are 147 values a pixel.
    sums = np.concatenate([convolve_pixels(image[None], filters) for image in pixels])
    arrays["conv0.weights"], arrays["conv0.thresholds"] = filters, _quantiles(sums, STEM_LEVELS)
    x = np.concatenate([stem(Network(arrays), image[None]) for image in pixels])

    def layer(conv: Conv, a: NDArray[np.uint8], levels: tuple[float, ...]) -> NDArray[np.uint8]:
        weights = np.packbits(binary_weights(rng, conv) > 0, axis=-1, bitorder="little")
        sums = convolve(a, weights, conv.ksize, conv.stride)
        thresholds = _spread(_quantiles(sums, levels), conv.levels)
        arrays[f"{conv.name}.weights"], arrays[f"{conv.name}.thresholds"] = weights, thresholds
        return threshold(sums, thresholds)

    for block in BLOCKS:
        conva, convb, convc, *conv1 = convs(block)
        arrays[f"{block.name}.in.thresholds"] = _quantiles(x.astype(np.int32), LEVELS_2BIT)
        d = threshold(x, arrays[f"{block.name}.in.thresholds"])
        c = layer(convc, layer(convb, layer(conva, d, LEVELS_2BIT), LEVELS_2BIT), BRANCH_LEVELS)
        r = layer(conv1[0], d, SHORTCUT_LEVELS) if conv1 else x
        x = np.clip(c.astype(np.int16) + r - 8, 0, 15).astype(np.uint8)
    return Network.check(arrays)


def _spread(thresholds: NDArray[np.int32], levels: int) -> NDArray[np.int32]:
    """Put the thresholds in the middle of `levels`, those outside being out of play. (C, n) -> (C, levels)."""
    missing = levels - thresholds.shape[1]
    above = missing // 2
    below = missing - above
    padded = np.pad(thresholds, ((0, 0), (below, above)), constant_values=ALWAYS)
    padded[:, levels - above :] = NEVER
    return padded
