"""The kernel's deadlines, refusals and cleaning up, on a card that the test holds."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import Case
from gatecard import GateCard
from resnet50_triton import cards
from resnet50_triton.cards import open_card
from resnet50_triton.errors import BadParameter, BadWeights, BadXclbin, CardError, CardRule, CardTimeout
from resnet50_triton.runtime.kernel import Kernel

PIXELS = np.full((1, 224, 224, 3), 9, np.uint8)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[GateCard]:
    monkeypatch.setitem(cards.KINDS, "gate", "gatecard")
    card = open_card("gate:0")
    card.open.set()
    yield card
    card.open.set()


@pytest.fixture
def xclbin(software_cases: dict[str, Case]) -> Path:
    return software_cases["top5"].xclbin


@pytest.fixture
def weights(software_cases: dict[str, Case]) -> Any:
    return software_cases["top5"].weights


def _buffers(card: Any) -> int:
    return card.programmed().memory.count()


def test_a_missed_deadline(gate: GateCard, xclbin: Path, weights: Any) -> None:
    with Kernel(xclbin, weights, "gate:0", batch_size=1) as kernel:
        gate.open.clear()
        begin_s = time.monotonic()
        with pytest.raises(CardTimeout, match=r"card 'gate:0': 1 images took longer than 0\.2 s"):
            kernel.run(PIXELS, timeout_s=0.2)
        assert time.monotonic() - begin_s >= 0.2
        with pytest.raises(CardError, match="still busy with a run that missed its deadline"):
            kernel.run(PIXELS)
        gate.open.set()
        gate._commands.see(gate._commands._submitted, 10)
        assert kernel.run(PIXELS).top5.tolist() == [[9] * 5]
    assert _buffers(gate) == 0


def test_buffers_of_an_unfinished_run_outlive_the_kernel(gate: GateCard, xclbin: Path, weights: Any) -> None:
    kernel = Kernel(xclbin, weights, "gate:0", batch_size=1)
    gate.open.clear()
    with pytest.raises(CardTimeout):
        kernel.run(PIXELS, timeout_s=0.1)
    kernel.close()
    del kernel
    gc.collect()
    assert _buffers(gate) == 5
    gate.open.set()
    gate._commands.see(gate._commands._submitted, 10)
    gate.reset_fpga()  # takes the memory, whoever has it


def test_waiting_burns_no_core(gate: GateCard, xclbin: Path, weights: Any) -> None:
    with Kernel(xclbin, weights, "gate:0", batch_size=1) as kernel:
        gate.open.clear()
        thread = threading.Thread(target=kernel.run, args=(PIXELS,))
        thread.start()
        assert gate.running.wait(10)
        before_s = time.process_time()
        time.sleep(0.5)
        used_s = time.process_time() - before_s
        gate.open.set()
        thread.join()
    assert used_s < 0.1


def test_a_failed_run_leaves_the_kernel_usable(gate: GateCard, xclbin: Path, weights: Any) -> None:
    with Kernel(xclbin, weights, "gate:0", batch_size=1) as kernel:
        gate.fail_next = True
        with pytest.raises(CardError, match="gate:0: the kernel failed"):
            kernel.run(PIXELS)
        assert kernel.run(PIXELS).top5.tolist() == [[9] * 5]


@pytest.mark.usefixtures("gate")
def test_a_card_has_one_kernel_of_a_process(xclbin: Path, weights: Any, software_cases: dict[str, Case]) -> None:
    other = software_cases["logits"].xclbin
    with (
        Kernel(xclbin, weights, "gate:0", batch_size=1) as kernel,
        pytest.raises(CardError, match="'gate:0' has another kernel of this process; close that one first"),
    ):
        Kernel(other, weights, "gate:0", batch_size=1)
    assert kernel.xclbin.kernel == "top5"
    with Kernel(other, weights, "gate:0", batch_size=1) as kernel:
        assert kernel.xclbin.kernel == "logits"


def test_a_batch_that_no_bank_holds(gate: GateCard, xclbin: Path, weights: Any) -> None:
    with pytest.raises(CardRule, match="out of memory in bank0"):
        Kernel(xclbin, weights, "gate:0", batch_size=200_000)
    assert _buffers(gate) == 0


def test_what_xrt_refuses_names_the_card(
    gate: GateCard, xclbin: Path, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("Programming Device failed: EBUSY (16)")  # XrtDevice's way

    monkeypatch.setattr(gate, "download", refuse)
    with pytest.raises(CardError, match="card 'gate:0': Programming Device failed: EBUSY"):
        Kernel(xclbin, weights, "gate:0")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"weights": np.zeros((2048, 1000), np.int8)},
            BadWeights,
            r"int8 \(2048, 1000\), expected int8 \(1000, 2048\)",
        ),
        ({"weights": np.zeros((1000, 2048))}, BadWeights, "are float64"),
        ({"weights": [1]}, BadWeights, "are list"),
        ({"batch_size": 0}, BadParameter, "batch_size is 0"),
        ({"xclbin": "/nonexistent.xclbin"}, BadXclbin, "/nonexistent.xclbin"),
        ({"card": "gate"}, BadParameter, "did you mean 'gate:0'"),
    ],
)
@pytest.mark.usefixtures("gate")
def test_wrong_arguments(xclbin: Path, weights: Any, change: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Kernel(**({"xclbin": xclbin, "weights": weights, "card": "gate:0"} | change))


def test_a_hundred_kernels_leave_nothing(xclbin: Path, weights: Any) -> None:
    """On the real software card: buffers, threads and files are those of the beginning."""
    card = open_card("software:0")

    def state() -> tuple[int, int, int]:
        gc.collect()
        return _buffers(card), threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    Kernel(xclbin, weights).close()
    before = state()
    for _ in range(100):
        Kernel(xclbin, weights).close()
    assert state() == before
    assert before[0] == 0
