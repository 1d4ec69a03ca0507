"""The runtime in the simulation: some seconds of it, what it once found, and mistakes that it must find."""

from __future__ import annotations

from typing import Any

import pytest
from resnet50_triton.errors import CardError
from resnet50_triton.runtime.batch import Batch
from resnet50_triton.runtime.queue import CardQueue, State
from resnet50_triton.runtime.session import CardSession
from simulation import Counts, Parts, simulate
from virtual_clock import Violation

_ENOUGH_STEPS = 2_000_000


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


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ({"queue": ChangesStateLater}, "answered 0 times"),
        ({"queue": FreesTooEarly}, "not seen done|written|two runs|answered for|not in the card's memory"),
        ({"session": LendsWithItsWeights}, "lets go of|no room for the weights"),
    ],
    ids=lambda value: next(iter(value.values())).__name__ if isinstance(value, dict) else "",
)
def test_a_mistake_is_found(mistake: dict[str, Any], words: str) -> None:
    with pytest.raises(Violation, match=words):
        simulate(1, _ENOUGH_STEPS, Parts(**mistake))
