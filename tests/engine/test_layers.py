"""Properties of single layers: each kernel's sums are the reference's, at any size and with extreme activations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resnet50_triton.network import engine, reference

NATIVE = [name for name in engine.engines() if name != "reference"]
channels = st.sampled_from([64, 128, 192, 256, 320, 512])


@pytest.mark.parametrize("name", NATIVE)
@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 17),
    width=st.integers(1, 31),
    cin=channels,
    cout=channels,
    ksize_and_stride=st.sampled_from([(1, 1), (1, 2), (3, 1)]),
    value_range=st.sampled_from([(0, 3), (0, 0), (3, 3)]),
    byte_range=st.sampled_from([(0, 255), (0, 0), (255, 255)]),
)
def test_sums_of_a_convolution(
    name: str,
    seed: int,
    height: int,
    width: int,
    cin: int,
    cout: int,
    ksize_and_stride: tuple[int, int],
    value_range: tuple[int, int],
    byte_range: tuple[int, int],
) -> None:
    rng = np.random.default_rng(seed)
    ksize, stride = ksize_and_stride
    x = rng.integers(*value_range, (2, height, width, cin), np.uint8, endpoint=True)
    packed = rng.integers(*byte_range, (cout, ksize, ksize, cin // 8), np.uint8, endpoint=True)
    expected = engine.convolve(x, packed, ksize, stride, "reference")
    assert np.array_equal(engine.convolve(x, packed, ksize, stride, name), expected)


@pytest.mark.parametrize("name", NATIVE)
def test_the_largest_sums_there_are(name: str) -> None:
    x = np.full((1, 7, 7, 512), 3, np.uint8)
    for byte, sign in ((255, 1), (0, -1)):
        packed = np.full((512, 3, 3, 64), byte, np.uint8)
        assert engine.convolve(x, packed, 3, 1, name)[0, 3, 3].tolist() == [sign * 3 * 9 * 512] * 512


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("low", [-128, 127, None])
def test_sums_of_conv0(name: str, low: int | None) -> None:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (2, 224, 224, 3), np.uint8)
    pixels[1] = 255
    shape = (64, 7, 7, 3)
    weights = rng.integers(-128, 128, shape, np.int8) if low is None else np.full(shape, low, np.int8)
    expected = reference.convolve(pixels, weights, 2, (3, 2))
    assert np.array_equal(engine.convolve_pixels(pixels, weights, name), expected)


def test_weights_that_do_not_fit_are_refused() -> None:
    x = np.zeros((1, 4, 4, 64), np.uint8)
    with pytest.raises(ValueError, match="do not fit ksize 1"):
        engine.convolve(x, np.zeros((64, 3, 3, 8), np.uint8), 1, 1)
    with pytest.raises(ValueError, match="3x3 with stride 2"):
        engine.convolve(x, np.zeros((64, 3, 3, 8), np.uint8), 3, 2)
