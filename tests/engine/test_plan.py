"""How one image is shared among threads, counted: enough items for each thread, and few meetings of them all."""

from __future__ import annotations

from math import ceil

import pytest
from networks import random_network
from resnet50_triton.network import engine

NETWORK = random_network(30)
MULTIPLY_ADDS = 3_737_911_296  # of the binary convolutions of one image


@pytest.mark.skipif("avx512" not in engine.engines(), reason="the items are those of the avx512 kernels")
@pytest.mark.parametrize(("threads", "meetings", "busy"), [(2, 30, 0.99), (4, 40, 0.97), (8, 30, 0.88), (16, 30, 0.86)])
def test_threads_are_busy_and_meet_seldom(threads: int, meetings: int, busy: float) -> None:
    loaded = engine.open_engine(NETWORK, threads, "avx512")
    assert isinstance(loaded, engine.NativeEngine)
    plan = loaded.plan()
    assert sum(macs for _, macs in plan) == MULTIPLY_ADDS
    busiest = sum(macs / items * ceil(items / threads) for items, macs in plan)
    assert len(plan) <= meetings
    assert MULTIPLY_ADDS / (threads * busiest) >= busy
