"""Network parameters from damaged bytes."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resnet50_triton.errors import BadNetwork
from resnet50_triton.network.parameters import SHAPES, Network


@pytest.fixture(scope="module")
def archive() -> bytes:
    # Small values compress to little, and still leave deflate streams to damage.
    rng = np.random.default_rng(3)
    return Network.check({name: rng.integers(0, 2, shape) for name, (shape, _) in SHAPES.items()}).to_bytes()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_bytes_give_a_network_or_bad_network(archive: bytes, data: st.DataObject) -> None:
    """Damage anywhere in a net.npz gives a Network or BadNetwork, nothing else."""
    damaged = bytearray(archive)
    for _ in range(data.draw(st.integers(1, 20))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadNetwork):
        assert Network.from_bytes(bytes(damaged)).arrays.keys() == SHAPES.keys()
