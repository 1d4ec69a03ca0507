"""The timing card takes the published time, and obeys the rules of the hardware meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cases import Case
from resnet50_triton.cards.timing import run_times
from resnet50_triton.errors import BadParameter, CardError, CardRule
from resnet50_triton.published import IMAGE_S, ROWS, RUN_S, PublishedRow, fpga_w
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.runtime.power import open_meter


@pytest.fixture
def kernel(software_cases: dict[str, Case]) -> Iterator[Kernel]:
    case = software_cases["logits"]
    with Kernel(case.xclbin, case.weights, "timing:7", batch_size=100, buffer_sets=3) as kernel:
        yield kernel


def test_runs_follow_each_other_without_a_gap(kernel: Kernel) -> None:
    begin_s = time.monotonic()
    runs = [kernel.start(buffers, 20) for buffers in kernel.buffers]
    queued_s = time.monotonic() - begin_s
    for run in runs:
        kernel.wait(run, 10)
    took_s = time.monotonic() - begin_s
    card_s = 3 * (RUN_S + 20 * IMAGE_S)
    assert queued_s < card_s
    assert card_s <= took_s < card_s + 0.2  # never early; late only as this machine is
    assert not kernel.buffers[0].download(20).any()


def test_a_run_is_not_done_early(kernel: Kernel) -> None:
    start = kernel.start(kernel.buffers[0], 100)
    assert not kernel.is_done(start, 0)
    assert not kernel.is_done(start, 1e-3)
    with pytest.raises(CardRule, match="seen done"):
        kernel.buffers[0].download(100)
    assert kernel.is_done(start, None)


def test_a_reset_fails_what_runs(kernel: Kernel) -> None:
    card: Any = kernel.device
    start = kernel.start(kernel.buffers[0], 100)
    commands = card._commands
    kernel.reset_card()
    with pytest.raises(CardError, match="reset"):
        start.handle.wait()
    assert commands.idle


def test_its_times_can_be_others(software_cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET50_TIMING_MS", "30,5")
    case = software_cases["logits"]
    with Kernel(case.xclbin, case.weights, "timing:8", batch_size=4) as kernel:
        assert "timing card, computes nothing, takes 30 ms + 5 ms per image" in kernel.description
        begin_s = time.monotonic()
        kernel.run(np.zeros((4, 224, 224, 3), np.uint8))
        assert time.monotonic() - begin_s >= 0.05


@pytest.mark.parametrize("text", ["fast", "1", "-1,2", "0,0", "1,nan", "1e9,1"])
def test_times_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("RESNET50_TIMING_MS", text)
    with pytest.raises(BadParameter, match="milliseconds of a run and of an image"):
        run_times()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.batch_size))
def test_power_is_the_published_one_from_the_first_batch(software_cases: dict[str, Case], row: PublishedRow) -> None:
    case = software_cases["logits"]
    with Kernel(case.xclbin, case.weights, "timing:9", batch_size=row.batch_size) as kernel:
        kernel.wait(kernel.start(kernel.buffers[0], row.batch_size), 10)
        meter = open_meter(kernel.device)
        assert meter.read_w() == pytest.approx({"fpga": row.fpga_w, "board": row.board_w})
        assert "published" in meter.source
        assert "not measured" in meter.source


def test_power_between_the_published_batch_sizes() -> None:
    watts = [fpga_w(batch_size) for batch_size in (1, 2, 10, 50, 100, 500, 1000)]
    assert watts == sorted(watts)
    assert len(set(watts)) == len(watts)
    assert fpga_w(4000) == ROWS[-1].fpga_w
