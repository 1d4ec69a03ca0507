"""A seeded simulation of the runtime: the real scheduler, workers, queues, sessions and leases on simulated cards.

One seed is one episode: a random set-up of cards and processes, random requests, and at random moments faults, cancels,
time-outs, hand-overs, self-tests and closes. It ends when everything is closed, and holds the runtime to this:

- each request is answered exactly once, with the right outputs or a Resnet50Error that names the card's or its fault;
- no buffer is in two places, and none is touched that is free;
- nothing runs on a failed card before its reset, and nothing is read of a run that was not seen done;
- one process has a card at a time, and leaves nothing on it;
- close ends, and nothing is left: threads, buffers, locks.

    python tests/runtime/simulation.py --seed 1 --steps 1000000

A failure names its seed; with that seed and `--steps 1` it happens again.
"""

from __future__ import annotations

import argparse
import logging
import random
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from resnet50_triton.errors import CardError, CardTimeout, Resnet50Error
from resnet50_triton.runtime import directory, lease, session, worker
from resnet50_triton.runtime.batch import Batch
from resnet50_triton.runtime.job import Job, JobResult, Outcome
from resnet50_triton.runtime.lease import User
from resnet50_triton.runtime.metrics import Metrics
from resnet50_triton.runtime.queue import CardQueue
from resnet50_triton.runtime.scheduler import Failover, Scheduler
from resnet50_triton.runtime.selftest import CrossCheck, SelfTest
from resnet50_triton.runtime.session import CardSession, KernelSettings
from resnet50_triton.runtime.worker import CardSettings, CardWorker
from simulated_card import (
    FAULTS,
    RUN_FAULTS,
    Reference,
    SimulatedCard,
    SimulatedKernel,
    SimulatedLease,
    outputs_of,
    pixels_of,
)
from virtual_clock import Pace, Violation, VirtualClock

MAX_STEPS = 100_000  # of an episode; the usual one takes some thousands
_TIMEOUT_S = 0.5  # of a run


@dataclass(frozen=True)
class Parts:
    """The classes that are simulated; a test puts a mistake into one."""

    queue: type[CardQueue] = CardQueue
    worker: type[CardWorker] = CardWorker
    scheduler: type[Scheduler] = Scheduler
    session: type[CardSession] = CardSession


@dataclass
class Counts:
    """What happened."""

    episodes: int = 0
    steps: int = 0
    right: int = 0
    events: Counter[str] = field(default_factory=Counter)


class CheckedJob(Job):
    """A request that is held to being answered exactly once."""

    def __init__(self, episode: Episode, numbers: list[int], timeout_s: float | None) -> None:
        self.is_cancelled = False
        super().__init__(
            pixels_of(numbers), self._answered, lambda: self.is_cancelled, timeout_s, episode.clock.monotonic
        )
        self.numbers, self.answers = numbers, 0
        self._episode = episode
        self._computed: set[int] = set()

    def complete(self, images: slice, outputs: Any, batch: Batch, runs: int) -> None:
        which = range(images.start, images.stop)
        if self._computed.intersection(which):
            self._episode.clock.violate("some images of a request are answered twice")
        self._computed.update(which)
        super().complete(images, outputs, batch, runs)

    def _answered(self, outcome: Outcome) -> None:
        clock, counts = self._episode.clock, self._episode.counts
        self.answers += 1
        if isinstance(outcome, JobResult):
            if outcome.outputs.tolist() != outputs_of(self.numbers).tolist():
                clock.violate(f"{outcome.outputs.tolist()} was answered for {self.numbers}")
            counts.right += 1
        else:
            if type(outcome) is Resnet50Error:
                clock.violate(f"a request is answered {type(outcome).__name__}: {outcome}")
            counts.events[type(outcome).__name__] += 1
        clock.switch()


class Process:
    """What a model instance is made of, on simulated cards.

    Args:
        episode: the one it is part of.
        name: of the process.
        uuid: of its xclbin.
        cards: that it uses.
        standby: the card that it uses when no other works.
    """

    def __init__(
        self, episode: Episode, name: str, uuid: str, cards: list[SimulatedCard], standby: SimulatedCard | None
    ) -> None:
        self.name, self._episode, self._uuid = name, episode, uuid
        rng, clock = episode.rng, episode.clock
        self.metrics = Metrics()
        self._changed = clock.condition()
        self._settings = CardSettings(_TIMEOUT_S, rng.randint(1, 4), rng.choice([None, 0.02, 0.2, 60.0]))
        xclbin: Any = SimpleNamespace(uuid=uuid)
        self._kernel = KernelSettings(xclbin, None, rng.randint(1, 4), rng.randint(1, 3))  # type: ignore[arg-type]
        self.batch_size = self._kernel.batch_size
        self._workers = [self._worker(card) for card in cards]
        self._standby = self._worker(standby) if standby is not None else None
        self.scheduler: Scheduler | None = None

    def _worker(self, card: SimulatedCard) -> CardWorker:
        episode = self._episode
        user = User("server", "model", f"{self._uuid}.xclbin", self._uuid)

        class OwnLease(SimulatedLease):
            pass

        OwnLease.card, OwnLease.owner = card, self.name
        place = OwnLease(episode.folder / card.name, card.name, user, episode.clock.monotonic, episode.clock.sleep)
        opened = episode.parts.session(
            card.name,
            self._kernel,
            place,
            lambda _, settings: SimulatedKernel(card, self.name, settings),  # type: ignore[arg-type, return-value]
            lambda _: card.reset(self.name),
        )
        queue = episode.parts.queue(card.name, self._changed, episode.clock.monotonic)
        reference: Any = Reference()
        return episode.parts.worker(
            opened,
            queue,
            self._settings,
            SelfTest(reference),
            CrossCheck(reference, 100 if episode.is_checked else 0),
            self.metrics,
            self._rerun,
            episode.clock,
        )

    def open(self) -> bool:
        """As ModelInstance does; False where no card works."""
        workers = [*self._workers, *filter(None, [self._standby])]
        failures: list[CardError | None] = []
        for card in workers:
            try:
                card.load()
                failures.append(None)
            except CardError as error:
                failures.append(error)
        if None not in failures:
            for card in workers:
                card.close()
            return False
        failover = Failover(self._episode.wait_s, self._standby)
        copy: Any = self._copy
        self.scheduler = self._episode.parts.scheduler(
            self._workers, 1, failover, self.metrics, self._changed, copy, self._episode.clock
        )
        for card, failure in zip(workers, failures, strict=True):
            card.start(failure)
        return True

    def _rerun(self, card: str, batches: list[Batch], error: CardError) -> None:
        assert self.scheduler is not None
        self.scheduler.rerun(card, batches, error)

    @staticmethod
    def _copy(pixels: Any, target: Any) -> None:
        target.write(pixels)

    def card_failed(self, card: str) -> None:
        """A deadline was missed on a card: it counts as failed from here on."""
        for one in filter(None, [*self._workers, self._standby]):
            if one.card == card and one.kernel is not None:
                kernel: Any = one.kernel
                kernel.failure = "has missed a deadline"


class Episode:
    """One seed's story."""

    def __init__(self, seed: int, folder: Path, parts: Parts, counts: Counts) -> None:
        self.rng = rng = random.Random(seed)
        pace = Pace(
            stay=rng.choice([0.0, 0.5, 0.8]),
            freeze=rng.choice([0.0, 0.002, 0.02]),
            freeze_released=rng.choice([0.0, 0.02, 0.2]),
            freeze_s=rng.choice([0.005, 0.05, 3.0]),
            hurry=rng.choice([0.001, 0.01]),
            reorder=rng.choice([0.0, 0.01, 0.1]),
        )
        self.clock = VirtualClock(rng, pace, MAX_STEPS)
        self.folder, self.parts, self.counts = folder, parts, counts
        self.is_checked = rng.random() < 0.5
        self.wait_s = rng.choice([0.0, 0.0, 1.0, 10.0])
        names = [f"xrt:{index}" for index in range(rng.choice([1, 1, 2]))]
        self.cards = [SimulatedCard(name, self.clock, rng, tells_ends=rng.random() < 0.5) for name in names]
        self.standbys: list[SimulatedCard] = []
        self.jobs: list[CheckedJob] = []
        self.processes: dict[str, Process] = {}
        self._next_number = rng.randrange(1 << 16)

    def run(self) -> None:
        """Raises Violation."""
        with simulated_hardware(self):
            try:
                self.clock.run(self._story)
            finally:
                self.counts.episodes += 1
                self.counts.steps += self.clock.steps

    def _story(self) -> None:
        rng, clock = self.rng, self.clock
        if rng.random() < 0.5:
            fault, chance = rng.choice(RUN_FAULTS), rng.choice([0.01, 0.05])
            for card in self.cards:
                card.flaky[fault] = chance
        users = [clock.start_thread(self._use, "A", "1", name="A")]
        # Not both: an idle process that has lent its card does not leave it for a third one with another xclbin.
        other = rng.choice(["", "B", "C"])
        if other:
            users.append(clock.start_thread(self._use, other, "2" if other == "C" else "1", name=other))
        faults = rng.choice([0.0, 0.05, 0.5, 0.5])
        if faults:
            users.append(clock.start_thread(self._break, tuple(users), faults, name="faults"))
        for user in users:
            user.join()
        self._check_nothing_is_left()

    def _use(self, name: str, uuid: str) -> None:
        """A process: it opens the cards, sends requests and closes."""
        rng, clock = self.rng, self.clock
        clock.current.owner = name
        clock.sleep(rng.random() * 0.5)
        standby = None
        if rng.random() < 0.3:
            standby = SimulatedCard(f"software:{name}", clock, rng, tells_ends=True)
            self.standbys.append(standby)
        process = self.processes[name] = Process(self, name, uuid, self.cards, standby)
        if not process.open():
            return
        scheduler = process.scheduler
        assert scheduler is not None
        if rng.random() < 0.5:  # close when all is sent
            self._send(process)
            scheduler.close()
            return
        sender = clock.start_thread(self._send, process, name=f"{name} sends")
        clock.sleep(rng.random() * rng.choice([0.02, 0.2, 2.0]))
        scheduler.close()
        sender.join()

    def _send(self, process: Process) -> None:
        rng, clock = self.rng, self.clock
        assert process.scheduler is not None
        pause_s = rng.choice([0.0, 0.002, 0.02, 0.2])
        for _ in range(rng.randint(1, 40)):
            jobs = [self._job(process) for _ in range(rng.choice([1, 1, 1, 2, 5]))]
            process.scheduler.submit(jobs)
            if rng.random() < 0.1:
                rng.choice(self.jobs).is_cancelled = True
            if pause_s:
                clock.sleep(pause_s * 2 * rng.random())

    def _job(self, process: Process) -> CheckedJob:
        rng = self.rng
        size = rng.randint(1, 2 * process.batch_size + 1)
        numbers = [(self._next_number + i) % (1 << 24) for i in range(size)]
        self._next_number += size
        job = CheckedJob(self, numbers, rng.choice([None, None, 0.0, 0.01, 1.0]))
        job.is_cancelled = rng.random() < 0.02
        self.jobs.append(job)
        return job

    def _break(self, users: tuple[Any, ...], every_s: float) -> None:
        """Bring faults, until all is closed."""
        kinds = self.rng.sample(FAULTS, self.rng.choice([1, 1, 2, len(FAULTS)])) + ["wrong"] * self.is_checked
        while not all(user.is_done for user in users):
            self.clock.sleep(self.rng.expovariate(1 / every_s))
            card = self.rng.choice([*self.cards, *self.standbys])
            card.faults[self.rng.choice(kinds)] += self.rng.choice([1, 1, 1, 3])

    def _check_nothing_is_left(self) -> None:
        violate = self.clock.violate
        for job in self.jobs:
            if job.answers != 1 or not job.is_answered:
                violate(f"a request of {len(job)} is answered {job.answers} times")
        for card in [*self.cards, *self.standbys]:
            self.counts.events.update({f"fault {kind}": count for kind, count in card.hits.items()})
            if card.kernels or card.holder or card.weights:
                violate(f"'{card.name}' is left open by {[kernel.owner for kernel in card.kernels]}, {card.holder}")
        left = [thread.name for thread in self.clock.threads if not thread.is_done and thread.name != "root"]
        if left:
            violate(f"threads are left: {left}")
        if any(lock.owner for lock in self.clock.locks):
            violate("a lock is left held")
        entries = [path.name for path in self.folder.glob("*/user-*")]
        if entries:
            violate(f"entries are left in the lease's folder: {entries}")
        for process in self.processes.values():
            for name, labels, value in process.metrics.samples():
                if dict(labels).get("card") and name in ("resnet50_reruns_total", "resnet50_recoveries_total"):
                    self.counts.events[name.removeprefix("resnet50_").removesuffix("_total")] += int(value)


@contextmanager
def simulated_hardware(episode: Episode) -> Iterator[None]:
    """The locks on files give other threads a chance, too; a missed deadline makes the card count as failed."""
    clock = episode.clock

    def try_lock(file: int) -> bool:
        clock.switch()
        return directory.try_lock(file)

    @contextmanager
    def locked(path: Path) -> Iterator[None]:
        file = directory.open_file(path)
        try:
            while not directory.try_lock(file):
                clock.sleep(1e-3)
            yield
        finally:
            lease.os.close(file)

    as_card_error = CardWorker._as_card_error

    def checked(card: CardWorker, error: Exception) -> CardError:
        if not isinstance(error, CardError | RuntimeError | OSError):
            clock.violate(f"a card failed by a mistake: {''.join(traceback.format_exception(error))}")
        return as_card_error(card, error)

    class Timeout(CardTimeout):
        def __init__(self, message: str) -> None:
            super().__init__(message)
            episode.processes[clock.current.owner].card_failed(message.split("'")[1])

    with (
        mock.patch.object(lease, "try_lock", try_lock),
        mock.patch.object(lease, "locked", locked),
        mock.patch.object(lease, "_POLL_S", 5e-3),
        mock.patch.object(session, "HAND_OVER_S", 5.0),
        mock.patch.object(worker, "CardTimeout", Timeout),
        mock.patch.object(CardWorker, "_as_card_error", checked),
    ):
        yield


def simulate(seed: int, steps: int, parts: Parts = Parts(), counts: Counts | None = None) -> Counts:
    """Run episodes from `seed` on, until they have made so many steps. Raises Violation, which names the seed."""
    counts = Counts() if counts is None else counts
    logging.disable(logging.CRITICAL)
    try:
        _simulate(seed, steps, parts, counts)
    finally:
        logging.disable(logging.NOTSET)
    return counts


def _simulate(seed: int, steps: int, parts: Parts, counts: Counts) -> None:
    for number in range(seed, seed + steps):
        with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
            try:
                Episode(number, Path(folder), parts, counts).run()
            except Violation as violation:
                raise Violation(f"seed {number}: {violation}") from None
        if counts.steps >= steps:
            break


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1_000_000)
    args = parser.parse_args()
    counts = Counts()
    begin_s, cpu_s = time.monotonic(), time.process_time()
    try:
        simulate(args.seed, args.steps, counts=counts)
    except Violation as violation:
        raise SystemExit(str(violation)) from None
    finally:
        print(
            f"{counts.episodes} episodes, {counts.steps} steps, {counts.right} correct answers, "
            f"{time.monotonic() - begin_s:.1f} s ({time.process_time() - cpu_s:.1f} s of a core)"
        )
    print(", ".join(f"{name}: {count}" for name, count in sorted(counts.events.items())))


if __name__ == "__main__":
    main()
