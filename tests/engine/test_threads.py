"""Threads: results do not depend on them, any thread may call, and Python goes on meanwhile."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from networks import random_network
from numpy.typing import NDArray
from resnet50_triton.network import engine

if engine.engines() == ("reference",):
    pytest.skip("the native engine was not built here", allow_module_level=True)

NETWORK = random_network(20)
WEIGHTS = np.random.default_rng(21).integers(-128, 128, (1000, 2048), np.int8)
PIXELS = np.random.default_rng(22).integers(0, 256, (5, 224, 224, 3), np.uint8)


@pytest.fixture(scope="module")
def expected() -> NDArray[np.int32]:
    return engine.open_engine(NETWORK, 1).logits(PIXELS, WEIGHTS)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_do_not_change_results(threads: int, expected: NDArray[np.int32]) -> None:
    loaded = engine.open_engine(NETWORK, threads)
    for count in (1, 2, 5):
        assert np.array_equal(loaded.logits(PIXELS[:count], WEIGHTS), expected[:count])


def test_one_engine_called_from_many_threads(expected: NDArray[np.int32]) -> None:
    loaded = engine.open_engine(NETWORK, 2)
    with ThreadPoolExecutor(4) as callers:
        results = callers.map(lambda i: loaded.logits(PIXELS[i : i + 1], WEIGHTS), [0, 1, 2, 3, 4] * 4)
        for i, result in enumerate(results):
            assert np.array_equal(result[0], expected[i % 5])


def test_engines_side_by_side(expected: NDArray[np.int32]) -> None:
    engines = [engine.open_engine(NETWORK, threads) for threads in (1, 2, 2, 1)]
    with ThreadPoolExecutor(4) as callers:
        for result in callers.map(lambda loaded: loaded.logits(PIXELS, WEIGHTS), engines * 4):
            assert np.array_equal(result, expected)


def test_engines_come_and_go(expected: NDArray[np.int32]) -> None:
    before = threading.active_count()
    for _ in range(5):
        assert np.array_equal(engine.open_engine(NETWORK, 2).logits(PIXELS[:1], WEIGHTS), expected[:1])
    assert threading.active_count() == before


def test_python_goes_on_while_the_engine_computes() -> None:
    loaded = engine.open_engine(NETWORK, 1)
    pixels = np.repeat(PIXELS, 8, axis=0)
    finished = threading.Event()

    def compute() -> None:
        loaded.logits(pixels, WEIGHTS)
        finished.set()

    worker = threading.Thread(target=compute)
    worker.start()
    ticks = 0
    while not finished.is_set():
        time.sleep(0.001)
        ticks += 1
    worker.join()
    assert ticks >= 3  # with the GIL held this loop would see the call only once it is over
