"""One card's state, batches and buffers: all that several threads touch, under one lock. Makes no calls to the card.

free ──claim──► filling ──submit──► waiting ──take_next──► running ──complete──► free
                   ▲                   │ until shortly before its run it takes more requests
                   └───────claim───────┘

LOADING ──► READY ◄──► YIELDED (another process has the card, with another xclbin)
             │  ▲
        fail ▼  │ open: the self-test has passed
          RECOVERING ──► QUARANTINED (as many attempts as allowed have failed)
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from ..errors import CardError
from .batch import Batch
from .kernel import BufferSet
from .latency import LatencyModel, dispatch_lead_s

IN_FLIGHT = 2  # runs queued on the card, so that the next begins without host intervention
_COPY_S = 1e-4  # more than it takes to copy an image


class State(Enum):
    """What a card is doing."""

    LOADING = "loading"
    READY = "ready"
    YIELDED = "yielded"
    RECOVERING = "recovering"
    QUARANTINED = "quarantined"
    CLOSED = "closed"


class CardQueue:
    """What waits for a card and what runs on it.

    Args:
        card: its name.
        changed: a condition that is notified of every change; its lock guards all that is here. The cards of a model
            instance share one, because a request may go to any of them.
        now: the clock, in seconds.
    """

    def __init__(self, card: str, changed: Any, now: Callable[[], float] = time.monotonic) -> None:
        self.card = card
        self.changed = changed
        self.state = State.LOADING
        self.error: CardError | None = None  # why the card does not work
        self._now = now
        self._latency = LatencyModel(0.0, 0.0)
        self._buffers: Sequence[BufferSet] = ()
        self._free: list[BufferSet] = []
        self._filling: set[Batch] = set()
        self._waiting: deque[Batch] = deque()
        self._running: deque[Batch] = deque()
        self._reported: Exception | None = None  # what the submitting thread met with on the card
        self._is_needed = False  # a request waits for a card that was yielded
        self._closing = False
        self._last_end_s = 0.0

    # Bringing batches: `offer` and `claim` with `changed` held

    @property
    def free_sets(self) -> int:
        """Buffer sets that nothing uses."""
        return len(self._free)

    def offer(self, images: int, more: int) -> Batch | None:
        """What could be filled next: a batch that waits for the card and has room, or one in a free buffer set.

        Args:
            images: of the next request; it is not spread over two runs to fill the first.
            more: of those that come with it, which may be put beside it.
        """
        if self.state is not State.READY or self._reported is not None:
            return None
        if self._waiting and self._running:
            last = self._waiting[-1]
            is_open = last.room >= images and last not in self._filling
            if is_open and self._busy_s() > min(images + more, last.room) * _COPY_S:
                return last
        if not self._free:
            return None
        return Batch(self.card, self._free[-1], len(self._free[-1].host_pixels), self._now)

    def claim(self, batch: Batch) -> None:
        """Take what was offered; until it is submitted or released, it is not run."""
        self._filling.add(batch)
        if not batch.size:
            self._free.remove(batch.buffers)

    def need(self) -> None:
        """Say that a request waits for this card, which was yielded to another process."""
        if self.state is State.YIELDED and not self._is_needed:  # once, or two who wait wake each other up for ever
            self._is_needed = True
            self.changed.notify_all()

    def submit(self, batch: Batch) -> bool:
        """Put a filled batch behind the others; False where the card has failed meanwhile. Wakes no thread."""
        with self.changed:
            self._filling.discard(batch)
            if self.state not in (State.READY, State.YIELDED) or batch.buffers not in self._buffers:
                self.changed.notify_all()  # who waits for it to be filled
                return False
            if batch not in self._waiting:
                self._waiting.append(batch)
            return True

    def release(self, batch: Batch, error: Exception | None = None) -> None:
        """Give back a batch that could not be filled; with an error, because the card has failed."""
        with self.changed:
            self._filling.discard(batch)
            if batch.buffers in self._buffers:
                if error is not None:
                    self._reported = error
                    if batch in self._waiting:
                        self._waiting.remove(batch)
                elif not batch.size:
                    self._free.append(batch.buffers)
            self.changed.notify_all()

    def report(self, error: Exception) -> None:
        """Say what went wrong on the card; its thread fails it."""
        with self.changed:
            self._reported = error
            self.changed.notify_all()

    @property
    def has_waiting(self) -> bool:
        """Whether a batch waits to be dispatched."""
        with self.changed:
            return bool(self._waiting)

    def wake(self) -> None:
        """Wake the card's thread up where there is something for it to do."""
        with self.changed:
            if self._has_work():
                self.changed.notify_all()

    # Driving the card

    def open(self, buffers: Sequence[BufferSet], latency: LatencyModel) -> None:
        """The card works: take batches."""
        with self.changed:
            self._latency, self._buffers, self._free = latency, buffers, list(buffers)
            self.set_state(State.READY)

    def set_state(self, state: State, error: CardError | None = None) -> None:
        """Change the state, and nothing else."""
        with self.changed:
            self.state, self.error, self._is_needed = state, error, False
            self.changed.notify_all()

    def fail(self, error: CardError) -> list[Batch]:
        """The card has failed: take no more. Returns what it had; a batch that is being filled is refused by submit."""
        with self.changed:
            batches = [batch for batch in (*self._running, *self._waiting) if batch not in self._filling]
            self._reset()
            self.set_state(State.RECOVERING, error)
        return batches

    def clear(self) -> None:
        """Forget the buffers of a card that has nothing to do."""
        with self.changed:
            self._reset()

    def _reset(self) -> None:
        self._buffers, self._reported = (), None
        for content in (self._free, self._waiting, self._running):
            content.clear()

    def take_next(self) -> Batch | None:
        """The next batch, to be run now; None where there is none, or none is due."""
        with self.changed:
            if not self._is_startable() or len(self._running) >= IN_FLIGHT or self._spare_s() > 0:
                return None
            batch = self._waiting.popleft()
            self._running.append(batch)
        return batch

    def is_due(self) -> bool:
        """Whether there is a batch to be run now. Raises what was reported of the card."""
        with self.changed:
            if self._reported is not None:
                raise self._reported
            return self._is_startable() and len(self._running) < IN_FLIGHT and self._spare_s() <= 0

    @property
    def first_running(self) -> Batch | None:
        """The batch that the card completes next."""
        with self.changed:
            return self._running[0] if self._running else None

    def begin_s(self, batch: Batch) -> float:
        """When the card began with a batch that runs: as it was queued, or when the one before was done."""
        return max(batch.started_s, self._last_end_s)

    def dispatch_in_s(self) -> float:
        """When the next batch is to be dispatched: 0 or less for as soon as there is one, inf for after a run's end."""
        with self.changed:
            return math.inf if len(self._running) == IN_FLIGHT else self._spare_s()

    def complete(self, batch: Batch) -> None:
        """Take a batch that is done off the card; its buffers stay in use until `put_free`."""
        with self.changed:
            self._running.remove(batch)
            self._last_end_s = batch.kernel_end_s

    def put_free(self, batch: Batch) -> None:
        """Let a completed batch's buffers be filled again."""
        with self.changed:
            if batch.buffers in self._buffers:
                self._free.append(batch.buffers)
                self.changed.notify_all()

    def _is_startable(self) -> bool:
        return bool(self._waiting) and self._waiting[0] not in self._filling

    def _busy_s(self) -> float:
        """How long the card is expected to work on what is on it."""
        if not self._running:
            return 0.0
        expected_s = sum(self._latency.expected_s(batch.size) for batch in self._running)
        return self.begin_s(self._running[0]) + expected_s - self._now()

    def _spare_s(self) -> float:
        """How much later is soon enough to dispatch the next batch; 0 or less for now."""
        if not self._running:
            return 0.0
        return self._busy_s() - dispatch_lead_s(self._latency.expected_s(self._running[0].size))

    # Waiting

    def _has_work(self) -> bool:
        is_closed = self._closing and not self._filling
        return bool(self._is_startable() or self._running or self._reported or is_closed)

    def wait_for_work(self, timeout_s: float) -> None:
        """Wait until there is something to do on the card."""
        with self.changed:
            self.changed.wait_for(self._has_work, timeout_s)

    def wait_filled(self, timeout_s: float) -> None:
        """Wait until no batch is being filled."""
        with self.changed:
            self.changed.wait_for(lambda: not self._filling, timeout_s)

    def wait_closing(self, timeout_s: float) -> bool:
        """Wait; True as soon as the model is being closed."""
        with self.changed:
            return bool(self.changed.wait_for(lambda: self._closing, timeout_s))

    def wait_needed(self) -> bool:
        """Wait until a request needs this card; False where the model is being closed instead."""
        with self.changed:
            self.changed.wait_for(lambda: self._is_needed or self._closing)
            return self._is_needed

    def close(self) -> None:
        """Let the card's thread end when all is answered."""
        with self.changed:
            self._closing = True
            self.changed.notify_all()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, runs or is being filled."""
        with self.changed:
            return not (self._waiting or self._running or self._filling)

    @property
    def is_finished(self) -> bool:
        """Whether the model is being closed and all is answered."""
        return self._closing and self.is_empty
