"""The reference model: the W1A2 network in NumPy, which every engine must equal.

Written to be read beside the definition of the network, layer by layer. Convolutions run as float32 matrix products,
which is exact here: the largest sum, 3 * 4608 in a 3x3 over 512 channels, is far below 2^24. conv0 has 147 products of
int8 by uint8, at most 4.8 million, below 2^24 too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .parameters import BLOCKS, Block, Conv, Network, convs

Activations = NDArray[np.uint8]  # (N, H, W, C)


def unpack_weights(network: Network, conv: Conv) -> NDArray[np.int8]:
    """The binary weights of one convolution as int8 (cout, ky, kx, cin) of +1 and -1."""
    bits = np.unpackbits(network[f"{conv.name}.weights"], axis=-1, bitorder="little")
    return (bits.astype(np.int8) * 2 - 1).astype(np.int8)


def threshold(x: NDArray[Any], thresholds: NDArray[np.int32]) -> Activations:
    """Count, per channel, the thresholds that are <= x. x: (..., C), thresholds: (C, 3 or 15)."""
    count = np.zeros(x.shape, np.uint8)
    for level in thresholds.T:
        count += x >= level
    return count


def _windows(x: NDArray[Any], k: int, stride: int) -> NDArray[Any]:
    """Every k x k window of x (N, H, W, C) at the stride: a view (N, H', W', C, k, k)."""
    view: NDArray[Any] = np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))  # type: ignore[call-overload]
    return view[:, ::stride, ::stride]


def convolve(
    x: NDArray[Any], weights: NDArray[np.int8], stride: int = 1, pad: tuple[int, int] = (0, 0)
) -> NDArray[np.int32]:
    """Cross-correlate. x: (N, H, W, C), weights: int8 (cout, k, k, C), pad: zeros (before, after) on H and W.

    Returns: int32 (N, H', W', cout), exact while every sum stays below 2^24.
    """
    k = weights.shape[1]
    windows = _windows(np.pad(x.astype(np.float32), ((0, 0), pad, pad, (0, 0))), k, stride)
    columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)  # (N, H', W', ky * kx * C)
    sums: NDArray[Any] = columns @ weights.reshape(weights.shape[0], -1).T.astype(np.float32)
    return sums.astype(np.int32)


def stem(network: Network, pixels: NDArray[np.uint8]) -> Activations:
    """conv0 and the max pool. pixels: uint8 (N, 224, 224, 3) BGR -> (N, 56, 56, 64) of 0..3."""
    x = threshold(convolve(pixels, network["conv0.weights"], 2, (3, 2)), network["conv0.thresholds"])
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    pooled: Activations = _windows(padded, 3, 2).max((4, 5))
    return pooled


def bottleneck(network: Network, block: Block, x: Activations) -> Activations:
    """One residual block. x: (N, H, W, cin) of 0..15 -> (N, H', W', cout) of 0..15."""

    def layer(conv: Conv, a: Activations) -> Activations:
        pad = (conv.ksize // 2, conv.ksize // 2)
        sums = convolve(a, unpack_weights(network, conv), conv.stride, pad)
        return threshold(sums, network[f"{conv.name}.thresholds"])

    conva, convb, convc, *conv1 = convs(block)
    d = threshold(x, network[f"{block.name}.in.thresholds"])
    c = layer(convc, layer(convb, layer(conva, d)))
    r = layer(conv1[0], d) if conv1 else x
    return np.clip(c.astype(np.int16) + r - 8, 0, 15).astype(np.uint8)


def run_stages(network: Network, pixels: NDArray[np.uint8]) -> Iterator[tuple[str, Activations]]:
    """Yield ("stem", x) and then (block name, x) for the 16 blocks; pixels: uint8 (N, 224, 224, 3) BGR."""
    x = stem(network, pixels)
    yield "stem", x
    for block in BLOCKS:
        x = bottleneck(network, block, x)
        yield block.name, x


def pool_features(x: Activations) -> NDArray[np.uint16]:
    """The head's input: x (N, 7, 7, 2048) of 0..15 -> uint16 (N, 2048), sums over the pixels of max(0, x - 8)."""
    features: NDArray[np.uint16] = (np.maximum(x, 8) - 8).sum((1, 2), dtype=np.uint16)
    return features


def fully_connected(
    features: NDArray[np.uint16], weights: NDArray[np.int8], bias: NDArray[np.int32]
) -> NDArray[np.int32]:
    """features: uint16 (N, 2048), weights: int8 (1000, 2048) -> logits int32 (N, 1000)."""
    # float64 holds the products and sums exactly: 2048 * 343 * 128 is below 2^27.
    sums: NDArray[np.float64] = features.astype(np.float64) @ weights.T.astype(np.float64)
    return sums.astype(np.int32) + bias


def top_k(logits: NDArray[np.int32], k: int = 5) -> NDArray[np.uint32]:
    """Class ids, best first, ties to the lower id: int32 (N, 1000) -> uint32 (N, k)."""
    order = np.argsort(-logits.astype(np.int64), axis=1, kind="stable")
    return order[:, :k].astype(np.uint32)


class ReferenceEngine:
    """The reference model, with the interface `engine.Engine`."""

    name = "reference (NumPy)"

    def __init__(self, network: Network) -> None:
        self._network = network

    def stages(self, pixels: NDArray[np.uint8]) -> dict[str, Activations]:
        """Every stage's output, by name."""
        return dict(run_stages(self._network, pixels))

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """pixels: uint8 (N, 224, 224, 3) BGR -> uint16 (N, 2048)."""
        result = np.empty((len(pixels), 2048), np.uint16)
        for i in range(len(pixels)):  # one image at a time bounds the memory
            *_, (_, last) = run_stages(self._network, pixels[i : i + 1])
            result[i] = pool_features(last)[0]
        return result

    def logits(
        self, pixels: NDArray[np.uint8], weights: NDArray[np.int8], out: NDArray[np.int32] | None = None
    ) -> NDArray[np.int32]:
        """pixels: uint8 (N, 224, 224, 3) BGR, weights: int8 (1000, 2048) -> int32 (N, 1000), in `out` if given."""
        result = fully_connected(self.features(pixels), weights, self._network["fc.bias"])
        if out is None:
            return result
        out[...] = result
        return out
