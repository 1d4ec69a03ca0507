"""The bench as fixtures. Where Debian's XRT is absent everything here is skipped, saying what to install."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from types import FrameType

import pytest
import xrt_machine
from helpers import random_network
from resnet50_triton.network.parameters import Network
from resnet50_triton.xclbin.kernel_info import KernelVariant
from resnet50_triton.xclbin.u250 import PLATFORM
from xrt_bench import Bench, BenchOf, OpenBench

LIMIT_S = 600  # for one test; the programs on the bench have their own, shorter ones


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    """End a test that takes too long, in this process too."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"the test took longer than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session", params=["pynq", "pyxrt"])
def way(request: pytest.FixtureRequest) -> str:
    """The way to the card: PYNQ's XrtDevice, or ours over `pyxrt`. Every test here is run through each."""
    return str(request.param)


@pytest.fixture(scope="session")
def open_bench(way: str) -> Iterator[OpenBench]:
    """Makes benches, which last until the last test of their way."""
    lacking = xrt_machine.missing()
    if lacking:
        pytest.skip(lacking)
    opened: list[Bench] = []
    with ExitStack() as stack:

        def open_one(network: Network, kernel: KernelVariant, platform: str = PLATFORM) -> Bench:
            opened.append(stack.enter_context(Bench(network, kernel, platform, native=way == "pyxrt")))
            return opened[-1]

        yield open_one
        # The device process cannot tell XRT what went wrong by itself.
        errors = [error for bench in opened if (error := bench.take_errors())]
    assert not errors


@pytest.fixture(scope="session")
def random_bench(open_bench: OpenBench) -> BenchOf:
    """A bench with random_network(1), for either kernel."""
    return cache(lambda kernel: open_bench(random_network(1), kernel))


@pytest.fixture(scope="session")
def trained_bench(open_bench: OpenBench, request: pytest.FixtureRequest) -> BenchOf:
    """A bench with the trained network, for either kernel."""
    network = Network.load(request.getfixturevalue("shared_data") / "resnet50_w1a2_v1.npz")
    return cache(lambda kernel: open_bench(network, kernel))
