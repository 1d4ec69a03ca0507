"""The fast ranking against the reference's stable sort."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from resnet50_triton.network.reference import top_k
from resnet50_triton.ranking import top5


@given(arrays(np.int32, (3, 1000), elements=st.sampled_from([-(2**31), -1, 0, 1, 7, 2**31 - 1])))
def test_ties_at_any_place(logits: np.ndarray) -> None:
    assert np.array_equal(top5(logits), top_k(logits))


@given(st.integers(0, 2**32 - 1))
def test_any_values(seed: int) -> None:
    logits = np.random.default_rng(seed).integers(-(2**31), 2**31, (4, 1000)).astype(np.int32)
    assert np.array_equal(top5(logits), top_k(logits))
