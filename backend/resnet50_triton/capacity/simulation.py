"""One machine, request by request, in discrete events (SimPy): what the formulas of `model` leave out.

    arrivals (Poisson) ─► preprocess: all that wait, up to a batch, on all cores ─► resnet50's queue
      ─► one thread: takes all that wait, finds a batch with room or a free set, copies ─► a card: start after start

As served (`serving/pool.py`, `serving/worker.py`): the card with most free sets gets a request, beside those that wait
for it, as far as there is room; a batch is closed shortly before the card needs it, and its set is free again when the
start is done. Faults are not modelled.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SetupError
from ..runtime.ahead import ahead_s
from .model import Machine

try:
    import simpy
except ImportError as error:
    raise SetupError("the simulation needs SimPy: pip install 'resnet50-pynq-triton[capacity]'") from error

_WARM_UP = 0.1  # of the requests, not counted

Process = Generator[Any, Any, None]


@dataclass(frozen=True)
class Simulated:
    """What came of it. Latencies in seconds, from arrival to answer, of requests in the order of their answers."""

    latencies_s: NDArray[np.float64]
    rate: float  # images answered a second
    batch: float  # images in a start, mean
    busy: float  # share of the time that a card runs
    queue_per_kernel: float  # the signals of deploy/monitoring: the time in Triton's queue, in times of a start,
    wait_per_kernel: float  # and with the wait for the card in the model

    def percentile_s(self, percent: float) -> float:
        """So many percent of the requests are answered in this time."""
        return float(np.percentile(self.latencies_s, percent))


def simulate(machine: Machine, rate: float, requests: int = 100_000, seed: int = 0) -> Simulated:
    """Load a machine with a Poisson stream.

    Args:
        machine: which.
        rate: images a second.
        requests: how many.
        seed: of the arrivals.

    Returns:
        The answers after the warm-up.
    """
    gaps_s = np.random.default_rng(seed).exponential(machine.request_images / rate, requests)
    run = _Run(machine, np.cumsum(gaps_s))
    run.env.run()
    return run.result()


Request = tuple[float, float, float]  # arrived at the machine, arrived at resnet50, taken from Triton's queue


@dataclass(eq=False)
class _Batch:
    requests: list[Request] = field(default_factory=list)
    images: int = 0
    is_filling: bool = True


class _Card:
    def __init__(self, sets: int) -> None:
        self.free = sets
        self.filled: deque[_Batch] = deque()
        self.is_running = False

    def next(self) -> _Batch | None:
        """Close the batch that comes next, if there is one."""
        return self.filled.popleft() if self.filled and not self.filled[0].is_filling else None


class _Run:
    def __init__(self, machine: Machine, arrivals_s: NDArray[np.float64]) -> None:
        self.env = simpy.Environment()
        self._machine, self._arrivals_s = machine, arrivals_s
        self._batch_requests = max(1, machine.max_batch // machine.request_images)
        self._queue: deque[tuple[float, float]] = deque()  # arrived at the machine, arrived at resnet50
        self._cards = [_Card(machine.buffer_sets) for _ in range(machine.cards)]
        self._changed = self.env.event()
        self._answers: list[tuple[float, ...]] = []  # arrived, arrived at resnet50, in a batch, answered
        self._starts: list[tuple[float, int]] = []  # seconds, images
        self.env.process(self._preprocess())
        self.env.process(self._execute())
        for card in self._cards:
            self.env.process(self._work(card))

    def _notify(self) -> None:
        changed, self._changed = self._changed, self.env.event()
        changed.succeed()

    def _preprocess(self) -> Process:
        env, machine, arrivals_s = self.env, self._machine, self._arrivals_s
        first = 0
        while first < len(arrivals_s):
            if arrivals_s[first] > env.now:
                yield env.timeout(arrivals_s[first] - env.now)
            here = int(np.searchsorted(arrivals_s, env.now, side="right"))
            last = min(max(here, first + 1), first + self._batch_requests)
            images = (last - first) * machine.request_images
            if machine.decode_s:
                yield env.timeout(math.ceil(images / machine.cores) * machine.decode_s)
            self._queue.extend((float(arrived_s), env.now) for arrived_s in arrivals_s[first:last])
            first = last
            self._notify()

    def _execute(self) -> Process:
        while True:
            while not self._queue:
                yield self._changed
            count = min(len(self._queue), self._batch_requests)
            taken = deque((*self._queue.popleft(), self.env.now) for _ in range(count))
            while taken:
                yield from self._fill(taken)

    def _fill(self, taken: deque[Request]) -> Process:
        """Bring as many of the requests to a card as fit in one batch."""
        machine = self._machine
        while not (offers := [(card, batch) for card in self._cards if (batch := self._offer(card))]):
            yield self._changed
        card, batch = max(offers, key=lambda offer: (offer[0].free, -offer[1].images))
        if not batch.images:
            card.free -= 1
            card.filled.append(batch)
        batch.is_filling = True
        before = batch.images
        while taken and batch.images + machine.request_images <= machine.max_batch:
            batch.requests.append(taken.popleft())
            batch.images += machine.request_images
        if machine.copy_s:
            yield self.env.timeout(machine.copy_s * (batch.images - before))
        batch.is_filling = False
        self._notify()

    def _offer(self, card: _Card) -> _Batch | None:
        if card.is_running and card.filled:
            last = card.filled[-1]
            if last.images + self._machine.request_images <= self._machine.max_batch:
                return last
        return _Batch() if card.free else None

    def _work(self, card: _Card) -> Process:
        batch: _Batch | None = None
        while True:
            while not (batch := batch or card.next()):
                yield self._changed
            kernel_s = self._machine.kernel_s(batch.images)
            closes_s = max(0.0, kernel_s - ahead_s(kernel_s))
            card.is_running = True
            yield self.env.timeout(closes_s)
            following = card.next()
            yield self.env.timeout(kernel_s - closes_s)
            card.is_running = following is not None
            self._starts.append((kernel_s, batch.images))
            self._answers.extend((*request, self.env.now) for request in batch.requests)
            batch = following
            card.free += 1
            self._notify()

    def result(self) -> Simulated:
        machine = self._machine
        answers = np.array(self._answers[int(_WARM_UP * len(self._answers)) :])
        arrived_s, entered_s, formed_s, answered_s = answers.T
        starts = np.array(self._starts[int(_WARM_UP * len(self._starts)) :])
        kernel_s, batch = starts.mean(axis=0)
        rate = len(answers) * machine.request_images / (answered_s[-1] - answered_s[0])
        return Simulated(
            latencies_s=answered_s - arrived_s + machine.overhead_s,
            rate=rate,
            batch=batch,
            busy=kernel_s * rate / batch / machine.cards,
            queue_per_kernel=(formed_s - entered_s).mean() / kernel_s,
            wait_per_kernel=((answered_s - entered_s).mean() - kernel_s) / kernel_s,
        )
