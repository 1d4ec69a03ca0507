"""What every card does alike: this suite runs on each card that is here."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Case, lacking_for_xrt
from pynq import allocate
from pynq.pl_server.device import Device
from resnet50_triton.cards import open_card
from resnet50_triton.errors import BadPixels, CardError
from resnet50_triton.network.reference import top_k
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.runtime.overlay import load_overlay
from resnet50_triton.runtime.power import open_meter
from resnet50_triton.runtime.waiting import wait_done
from resnet50_triton.xclbin.kernel_info import read_xclbin


class Bench:
    """The kernel's PYNQ driver with buffers for the case's pictures, the input and the weights synced."""

    def __init__(self, case: Case) -> None:
        self.device = open_card(case.card)
        self.overlay = load_overlay(read_xclbin(case.xclbin), self.device)
        self.kernel = self.overlay.resnet50_1
        self.pixels = allocate(case.pixels.shape, np.uint8, target=self.overlay.bank0)
        self.out = [allocate(case.expected.shape, case.expected.dtype, target=self.overlay.bank0) for _ in range(2)]
        self.weights = allocate(case.weights.shape, np.int8, target=self.overlay.PLRAM0)
        for buffer, data in ((self.pixels, case.pixels), (self.weights, case.weights)):
            buffer[:] = data
            buffer.sync_to_device()

    def result(self, which: int = 0) -> Any:
        self.out[which].sync_from_device()
        return self.out[which]

    def close(self) -> None:
        for buffer in (self.pixels, *self.out, self.weights):
            buffer.freebuffer()


@pytest.fixture
def bench(case: Case) -> Iterator[Bench]:
    bench = Bench(case)
    yield bench
    bench.close()


def test_an_alveo_takes_part() -> None:
    """Says once, not at each test of this suite, why none does."""
    reason = lacking_for_xrt()
    if reason:
        pytest.skip(reason)


def test_pynq_lists_the_card(case: Case) -> None:
    assert open_card(case.card) in Device.devices


def test_the_keyword_argument_is_renamed(bench: Bench) -> None:
    assert list(bench.kernel.signature.parameters) == ["in_r", "out", "weightsmem", "numReps"]


def test_call(case: Case, bench: Bench) -> None:
    bench.kernel.call(bench.pixels, bench.out[0], bench.weights, len(case.pixels))
    assert np.array_equal(bench.result(), case.expected)


def test_start_and_wait_by_keyword(case: Case, bench: Bench) -> None:
    bench.kernel.start(in_r=bench.pixels, out=bench.out[0], weightsmem=bench.weights, numReps=1).wait()
    assert np.array_equal(bench.result()[:1], case.expected[:1])


def test_start_through_registers(case: Case, bench: Bench) -> None:
    handle = bench.kernel.start_sw(bench.pixels, bench.out[0], bench.weights, 2)
    assert wait_done(handle, 60)
    assert np.array_equal(bench.result()[:2], case.expected[:2])
    assert bench.kernel.register_map.numReps[31:0] == 2
    assert bench.kernel.register_map.CTRL.AP_IDLE == 1


def test_wait_handle_of_pynq_ends(case: Case, bench: Bench) -> None:
    bench.kernel.start_sw(bench.pixels, bench.out[0], bench.weights, 1).wait()
    assert np.array_equal(bench.result()[:1], case.expected[:1])


def test_two_starts_queue_up(case: Case, bench: Bench) -> None:
    first = bench.kernel.start(bench.pixels, bench.out[0], bench.weights, 1)
    second = bench.kernel.start(bench.pixels, bench.out[1], bench.weights, 2)
    assert wait_done(second, 60)
    assert wait_done(first, 0)  # they run in order
    assert np.array_equal(bench.result(0)[:1], case.expected[:1])
    assert np.array_equal(bench.result(1)[:2], case.expected[:2])


def test_wait_async(case: Case, bench: Bench) -> None:
    if case.in_hw_emu:
        pytest.skip("XRT's emulation has no device file, which PYNQ watches for the event loop")

    async def run() -> None:
        bench.device.set_event_loop(asyncio.get_running_loop())
        await bench.kernel.start(bench.pixels, bench.out[0], bench.weights, 1).wait_async()

    asyncio.run(run())
    assert np.array_equal(bench.result()[:1], case.expected[:1])


def test_device_memory_is_apart_from_the_host_array(case: Case, bench: Bench) -> None:
    """Without a sync the card computes with what was there before, and the host does not see the result."""
    bench.kernel.call(bench.pixels, bench.out[0], bench.weights, 1)
    bench.result()
    bench.pixels[0] = case.pixels[1]  # not synced
    bench.kernel.call(bench.pixels, bench.out[0], bench.weights, 1)
    assert np.array_equal(bench.result()[:1], case.expected[:1])
    bench.pixels.sync_to_device()
    bench.kernel.call(bench.pixels, bench.out[0], bench.weights, 1)
    assert np.array_equal(bench.out[0][:1], case.expected[:1])  # not synced
    assert np.array_equal(bench.result()[:1], case.expected[1:2])


def test_part_of_a_buffer_syncs(case: Case, bench: Bench) -> None:
    bench.kernel.call(bench.pixels, bench.out[0], bench.weights, 2)
    bench.out[0][:] = 0
    bench.out[0][1:2].sync_from_device()
    assert not bench.out[0][0].any()
    assert np.array_equal(bench.out[0][1], case.expected[1])


def test_start_inside_a_buffer(case: Case, bench: Bench) -> None:
    bench.kernel.call(bench.pixels[1:], bench.out[0][2:], bench.weights, 1)
    assert np.array_equal(bench.result()[2], case.expected[1])


def test_banks_are_interchangeable(bench: Bench) -> None:
    assert bench.overlay.bank0 == bench.overlay.bank0
    assert bench.overlay.bank0 != bench.overlay.PLRAM0


def test_banks_know_what_is_in_them(case: Case, bench: Bench) -> None:
    if case.in_hw_emu:
        pytest.skip("XRT's emulation has no xclGetUsageInfo")
    assert bench.overlay.PLRAM0.num_buffers == 1
    assert bench.overlay.PLRAM0.mem_used >= bench.weights.nbytes


def test_power(case: Case, bench: Bench) -> None:
    """An Alveo tells its own power; a software card has none, and a meter says so in words."""
    if case.in_hw_emu:
        pytest.skip("XRT's emulation has no sensors")
    meter = open_meter(bench.device, Path("/nonexistent"))
    if case.card.startswith("software"):
        assert not meter.is_of_card
        assert meter.read_w() == {}
        assert meter.source == (
            "not available: this card has no FPGA, and this machine no energy counter of the CPU (/nonexistent)"
        )
        return
    assert meter.is_of_card
    power_w = meter.read_w()
    assert 0 < power_w["fpga"] < power_w["board"]
    assert 5 < power_w["board"] < 225  # the limit of the U250


# The kernel, which uses the card only through these calls.


@pytest.mark.parametrize("max_batch", [1, 2, 8])
def test_kernel_runs_and_splits(case: Case, max_batch: int) -> None:
    with Kernel(case.xclbin, case.weights, case.card, batch_size=max_batch) as kernel:
        result = kernel.run(case.pixels)
    assert kernel.xclbin.kernel == case.outputs
    assert np.array_equal(result.top5, top_k(case.logits))
    if case.outputs == "logits":
        assert result.logits is not None
        assert np.array_equal(result.logits, case.logits)
    else:
        assert result.logits is None


def test_kernel_results_are_the_callers(case: Case) -> None:
    with Kernel(case.xclbin, case.weights, case.card, batch_size=1) as kernel:
        first = kernel.run(case.pixels[:1])
        kept = first.top5.copy()
        kernel.run(case.pixels[1:2])
        assert np.array_equal(first.top5, kept)
        assert type(first.top5) is np.ndarray


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((0, 224, 224, 3), np.uint8),
        np.zeros((224, 224, 3), np.uint8),
        np.zeros((1, 3, 224, 224), np.uint8),
        np.zeros((1, 224, 224, 3), np.int8),
        np.zeros((1, 224, 224, 3), np.float32),
        np.zeros((), np.uint8),
        [[1]],
    ],
    ids=lambda p: f"{p.dtype}{p.shape}" if isinstance(p, np.ndarray) else "list",
)
def test_kernel_refuses_other_pixels(case: Case, pixels: Any) -> None:
    with (
        Kernel(case.xclbin, case.weights, case.card, batch_size=1) as kernel,
        pytest.raises(BadPixels, match=r"uint8 \(N, 224, 224, 3\)|no image"),
    ):
        kernel.run(pixels)


def test_threads_share_a_kernel(case: Case) -> None:
    answers: dict[int, Any] = {}
    with Kernel(case.xclbin, case.weights, case.card, batch_size=1) as kernel:

        def work(i: int) -> None:
            answers[i] = kernel.run(case.pixels[i % 3 : i % 3 + 1]).top5

        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    right = top_k(case.logits)
    assert all(np.array_equal(answers[i][0], right[i % 3]) for i in range(6))


def test_a_closed_kernel_says_so_and_closes_again(case: Case) -> None:
    kernel = Kernel(case.xclbin, case.weights, case.card, batch_size=1)
    kernel.close()
    kernel.close()
    with pytest.raises(CardError, match="closed"):
        kernel.run(case.pixels[:1])
