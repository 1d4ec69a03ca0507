"""The software card's runs on the native engine's own thread: their order, their end before its time, and its."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cases import Case
from resnet50_triton.cards.commands import EngineQueue
from resnet50_triton.errors import CardError
from resnet50_triton.network.engine import engines
from resnet50_triton.runtime.kernel import Kernel

pytestmark = pytest.mark.skipif(len(engines()) == 1, reason="the native engine was not built")

IMAGES = 12  # of a long run


@pytest.fixture
def slow(software_cases: dict[str, Case], monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A card that takes a second for IMAGES."""
    monkeypatch.setenv("RESNET50_ENGINE", "generic")
    case = software_cases["logits"]
    with Kernel(case.xclbin, case.weights, "software:41", batch_size=IMAGES, buffer_sets=3, threads=1) as kernel:
        for buffers in kernel.buffers:
            buffers.load(np.resize(case.pixels, (IMAGES, *case.pixels.shape[1:])))
        yield kernel


def test_runs_end_in_the_order_of_their_start(slow: Kernel, software_cases: dict[str, Case]) -> None:
    card: Any = slow.device
    assert isinstance(card._commands, EngineQueue)
    first, second = slow.start(slow.buffers[0], 2), slow.start(slow.buffers[1], 1)
    assert not slow.is_done(second, 0)
    slow.wait(second, None)
    assert slow.is_done(first, 0)
    assert card._commands.idle
    logits = software_cases["logits"].logits
    assert np.array_equal(slow.buffers[0].download(2), logits[:2])
    assert np.array_equal(slow.buffers[1].download(1), logits[:1])


def test_a_reset_fails_the_runs_that_have_not_begun(slow: Kernel, software_cases: dict[str, Case]) -> None:
    """The one that computes ends by itself, in memory that is kept for it."""
    runs = [slow.start(buffers, IMAGES) for buffers in slow.buffers]
    slow.reset_card()
    with pytest.raises(CardError, match="software:41: the card was reset before this run"):
        runs[2].handle.wait()
    assert all(run.handle.done for run in runs)
    case = software_cases["logits"]
    with Kernel(case.xclbin, case.weights, "software:41", batch_size=1) as kernel:
        assert np.array_equal(kernel.run(case.pixels[:1]).logits, case.logits[:1])


def test_a_card_that_is_reset_and_forgotten_waits_for_its_run(slow: Kernel) -> None:
    """Or the engine would write to memory that is not there any more."""
    slow.start(slow.buffers[0], IMAGES)
    slow.start(slow.buffers[1], IMAGES)
    slow.reset_card()  # the last to know of the queue


def test_what_a_run_met_with_is_its_error(slow: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    card: Any = slow.device
    queue = card._commands

    class Failed:
        finished = 1

        def wait(self, *_: object) -> bool:
            return True

        def error(self, _: int) -> str:
            return "the kernel failed: std::bad_alloc"

    run = slow.start(slow.buffers[0], 1)
    slow.wait(run, None)
    queue._finished = 0
    queue._calls[1] = None, run.handle
    monkeypatch.setattr(queue, "_runs", Failed())
    with pytest.raises(CardError, match="software:41: the kernel failed: std::bad_alloc"):
        run.handle.wait()


def test_a_thread_can_wait_for_a_run_that_it_does_not_know(slow: Kernel) -> None:
    events = slow.events
    assert events is not None
    seen = events.events
    events.wait_for_event(seen, 0.01)
    assert events.events == seen
    run = slow.start(slow.buffers[0], 1)
    events.wait_for_event(seen, 60)
    assert events.events == seen + 1
    slow.wait(run, 0)
    events.poke()
    events.wait_for_event(seen + 1, 60)
    assert events.events == seen + 2


def test_a_signal_is_seen_during_a_run(slow: Kernel) -> None:
    """As Ctrl-C has to be."""
    card: Any = slow.device

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        run = slow.start(slow.buffers[0], IMAGES)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            run.handle.wait()
        assert not card._commands.idle
    finally:
        signal.signal(signal.SIGALRM, before)
    slow.wait(run, None)
