"""A discrete-event simulation of one machine (SimPy), request by request: it adds the chance that `model` omits.

    arrivals (Poisson) ─► preprocess: all that wait, up to a batch, on all cores ─► resnet50's queue
      ─► one thread: takes all that wait, finds a batch with room or a free set, copies ─► a card: start after start

The cards' queues and the choice of a card are those of the runtime (`runtime/queue.py`, `runtime/scheduler.py`), on a
virtual clock. Faults are not modelled.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SetupError
from ..runtime.batch import Batch
from ..runtime.latency import LatencyModel
from ..runtime.queue import CardQueue
from ..runtime.scheduler import choose
from .model import Machine

try:
    import simpy
except ImportError as error:
    raise SetupError("the simulation needs SimPy: pip install 'resnet50-pynq-triton[capacity]'") from error

_WARM_UP = 0.1  # of the requests, not counted
_RESOLUTION_S = 1e-9

Process = Generator[Any, Any, None]


@dataclass(frozen=True)
class Simulated:
    """What came of it. Latencies in seconds, from arrival to answer, of requests in the order of their answers."""

    latencies_s: NDArray[np.float64]
    rate: float  # images answered a second
    batch: float  # batch size, mean
    busy: float  # share of the time that a card runs
    queue_per_kernel: float  # the signals of deploy/monitoring: the time in Triton's queue, in units of a run's time,
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


class _Changed:
    """Stands for the condition of the cards' queues, in a world of one thread: what waits for it is a process."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self.event = env.event()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def notify_all(self) -> None:
        """Let every process look again."""
        event, self.event = self.event, self._env.event()
        event.succeed()


class _Buffers:
    """A buffer set without buffers."""

    def __init__(self, batch_size: int) -> None:
        self.host_pixels = range(batch_size)


class _Run:
    def __init__(self, machine: Machine, arrivals_s: NDArray[np.float64]) -> None:
        self.env = simpy.Environment()
        self._machine, self._arrivals_s = machine, arrivals_s
        self._batch_requests = max(1, machine.max_batch // machine.request_images)
        self._triton: deque[tuple[float, float]] = deque()  # arrived at the machine, arrived at resnet50
        self._changed = _Changed(self.env)
        self._requests: dict[Batch, list[Request]] = defaultdict(list)
        self._answers: list[tuple[float, ...]] = []  # arrived, arrived at resnet50, in a batch, answered
        self._runs: list[tuple[float, int]] = []  # seconds, images
        self._queues = []
        for card in range(machine.cards):
            queue = CardQueue(f"card:{card}", self._changed, lambda: self.env.now)
            buffers: Any = [_Buffers(machine.max_batch) for _ in range(machine.buffer_sets)]
            queue.open(buffers, LatencyModel(machine.run_s, machine.image_s))
            self._queues.append(queue)
            self.env.process(self._drive(queue))
        self.env.process(self._preprocess())
        self.env.process(self._execute())

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
            self._triton.extend((float(arrived_s), env.now) for arrived_s in arrivals_s[first:last])
            first = last
            self._changed.notify_all()

    def _execute(self) -> Process:
        while True:
            while not self._triton:
                yield self._changed.event
            count = min(len(self._triton), self._batch_requests)
            taken = deque((*self._triton.popleft(), self.env.now) for _ in range(count))
            while taken:
                yield from self._place(taken)

    def _place(self, taken: deque[Request]) -> Process:
        """Bring as many of the requests to a card as fit in one batch."""
        images = self._machine.request_images
        while not (chosen := choose(self._queues, images, (len(taken) - 1) * images)):
            yield self._changed.event
        queue, batch = chosen
        queue.claim(batch)
        before = batch.size
        while taken and batch.room >= images:
            self._requests[batch].append(taken.popleft())
            batch.size += images
        if self._machine.copy_s:
            yield self.env.timeout(self._machine.copy_s * (batch.size - before))
        queue.submit(batch)
        queue.wake()

    def _drive(self, queue: CardQueue) -> Process:
        """A card's thread: `CardWorker` without deadlines and faults."""
        while True:
            while queue.is_due() and (batch := queue.take_next()):
                batch.started_s = self.env.now
            running = queue.first_running
            if running is None:
                yield self._changed.event
                continue
            kernel_s = self._machine.kernel_s(running.size)
            left_s = queue.begin_s(running) + kernel_s - self.env.now
            if left_s > _RESOLUTION_S:
                dispatch_in_s = queue.dispatch_in_s()
                wait_s = min(left_s, dispatch_in_s) if dispatch_in_s > _RESOLUTION_S else left_s
                yield self.env.timeout(wait_s) | self._changed.event
                continue
            running.kernel_end_s = self.env.now
            queue.complete(running)
            self._runs.append((kernel_s, running.size))
            self._answers.extend((*request, self.env.now) for request in self._requests.pop(running))
            queue.put_free(running)

    def result(self) -> Simulated:
        machine = self._machine
        answers = np.array(self._answers[int(_WARM_UP * len(self._answers)) :])
        arrived_s, entered_s, formed_s, answered_s = answers.T
        runs = np.array(self._runs[int(_WARM_UP * len(self._runs)) :])
        kernel_s, batch = runs.mean(axis=0)
        rate = len(answers) * machine.request_images / (answered_s[-1] - answered_s[0])
        return Simulated(
            latencies_s=answered_s - arrived_s + machine.overhead_s,
            rate=rate,
            batch=batch,
            busy=kernel_s * rate / batch / machine.cards,
            queue_per_kernel=(formed_s - entered_s).mean() / kernel_s,
            wait_per_kernel=((answered_s - entered_s).mean() - kernel_s) / kernel_s,
        )
