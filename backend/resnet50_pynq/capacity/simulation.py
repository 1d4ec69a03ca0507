"""One machine, request by request, in discrete events (SimPy): what the formulas of `model` leave out.

    arrivals (Poisson) ─► preprocess: all that wait, up to a batch, on all cores ─► resnet50's queue
      ─► one thread: forms a batch of all that wait, then waits for a free set, copies ─► a card: start after start

As served: Triton forms the batch before the model waits for a set, the card with most free sets gets it, a set is free
again when its start is done (`serving/pool.py`, `serving/worker.py`). Faults are not modelled.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SetupError
from .model import Machine

try:
    import simpy
except ImportError as error:
    raise SetupError("the simulation needs SimPy: pip install 'resnet50-pynq[capacity]'") from error

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


class _Card:
    def __init__(self, env: simpy.Environment, sets: int) -> None:
        self.free = sets
        self.filled = simpy.Store(env)


class _Run:
    def __init__(self, machine: Machine, arrivals_s: NDArray[np.float64]) -> None:
        self.env = simpy.Environment()
        self._machine, self._arrivals_s = machine, arrivals_s
        self._batch_requests = max(1, machine.max_batch // machine.request_images)
        self._queue: deque[tuple[float, float]] = deque()  # arrived at the machine, arrived at resnet50
        self._cards = [_Card(self.env, machine.buffer_sets) for _ in range(machine.cards)]
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
            batch = [(*self._queue.popleft(), self.env.now) for _ in range(count)]
            while not any(card.free for card in self._cards):
                yield self._changed
            card = max(self._cards, key=lambda card: card.free)
            card.free -= 1
            if self._machine.copy_s:
                yield self.env.timeout(self._machine.copy_s * count * self._machine.request_images)
            card.filled.put(batch)

    def _work(self, card: _Card) -> Process:
        while True:
            batch = yield card.filled.get()
            images = len(batch) * self._machine.request_images
            kernel_s = self._machine.kernel_s(images)
            yield self.env.timeout(kernel_s)
            self._starts.append((kernel_s, images))
            self._answers.extend((*request, self.env.now) for request in batch)
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
