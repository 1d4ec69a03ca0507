"""The runtime in the simulation: some seconds of it, what it once found, and mistakes that it must find."""

from __future__ import annotations

from typing import Any

import pytest
from resnet50_triton.errors import CardError
from resnet50_triton.runtime.batch import Batch
from resnet50_triton.runtime.job import Job
from resnet50_triton.runtime.queue import CardQueue, State
from resnet50_triton.runtime.scheduler import Scheduler
from resnet50_triton.runtime.session import CardSession
from resnet50_triton.runtime.worker import CardWorker
from simulation import Counts, Parts, simulate
from virtual_clock import Violation

_ENOUGH_STEPS = 8_000_000


def test_the_runtime_keeps_the_rules() -> None:
    counts = simulate(1, 400_000)
    assert counts.right
    assert all(counts.events[kind] for kind in ("recoveries", "reruns", "Cancelled", "Expired", "fault hang"))


def test_a_seed_replays_exactly() -> None:
    def story(seed: int) -> Counts:
        return simulate(seed, 1)

    for seed in range(1, 20):
        assert story(seed) == story(seed)


class ChangesStateLater(CardQueue):
    """Empties its queues, lets the lock go, and only then counts as failed: a batch in between is never answered."""

    def fail(self, error: CardError) -> list[Batch]:
        with self.changed:
            batches = [batch for batch in (*self._running, *self._waiting) if batch not in self._filling]
            self._waiting.clear()
            self._running.clear()
        with self.changed:
            self._reset()
            self.set_state(State.RECOVERING, error)
        return batches


class FreesTooEarly(CardQueue):
    """Lets buffers be filled again before their outputs are read."""

    def complete(self, batch: Batch) -> None:
        super().complete(batch)
        super().put_free(batch)

    def put_free(self, batch: Batch) -> None:
        pass


class LendsWithItsWeights(CardSession):
    """Lends the card with its weights on it, where there is room for one set."""

    def lend(self) -> None:
        self._lease.release()


class NeedsAgainAndAgain(CardQueue):
    """Wakes all up whenever a yielded card is asked for: two threads that wait for it keep each other awake."""

    def need(self) -> None:
        self._is_needed = self.state is State.YIELDED
        self.changed.notify_all()


class WaitsForTheStandby(Scheduler):
    """Does not ask for a yielded card while the standby is ready, which is used only where no card works."""

    def _wait_for_card_s(self, job: Job, alone: bool) -> float:
        if State.READY in (worker.queue.state for worker in self._by_card.values()):
            return 0.1
        return super()._wait_for_card_s(job, alone)


class FailsAfterItsTurn(CardWorker):
    """Lets another thread drive the card before it counts as failed."""

    def _serve(self) -> None:
        while not self.queue.is_finished:
            with self._driving:
                is_busy = self._step()
            if not is_busy:
                self.queue.wait_for_work(0.02)

    def _recover(self, error: Exception) -> bool:
        self._fail(error)
        return super()._recover(error)


@pytest.mark.long
@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ({"queue": NeedsAgainAndAgain}, "no end after"),
        ({"worker": FailsAfterItsTurn}, "on a card that|is driven by|lets go of|answered|closed while|holds"),
    ],
    ids=lambda value: next(iter(value.values())).__name__ if isinstance(value, dict) else "",
)
def test_a_rare_mistake_is_found(mistake: dict[str, Any], words: str) -> None:
    with pytest.raises(Violation, match=words):
        simulate(1, 20 * _ENOUGH_STEPS, Parts(**mistake))


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ({"queue": ChangesStateLater}, "answered 0 times"),
        ({"queue": FreesTooEarly}, "not seen done|written|two runs|answered for|not in the card's memory"),
        ({"scheduler": WaitsForTheStandby}, "no end after"),
        ({"session": LendsWithItsWeights}, "lets go of|no room for the weights"),
    ],
    ids=lambda value: next(iter(value.values())).__name__ if isinstance(value, dict) else "",
)
def test_a_mistake_is_found(mistake: dict[str, Any], words: str) -> None:
    with pytest.raises(Violation, match=words):
        simulate(1, _ENOUGH_STEPS, Parts(**mistake))
