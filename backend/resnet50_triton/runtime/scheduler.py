"""Assigns each request to a card, and reruns the requests of a card that failed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import CardError, Resnet50Error
from .batch import Batch, BatchSlice
from .clock import SYSTEM, Clock
from .job import Job
from .metrics import Metrics
from .pixels import CopyPixels
from .queue import CardQueue, State
from .worker import CardWorker

_log = logging.getLogger(__name__)

_POLL_S = 0.1
_WAITED_S = 1e-3
MAX_RUNS = 2  # on cards that failed: what was on two of them is not given to a third, but alone to the standby
_ANY_SIZE = 1 << 30  # images that fit beside no others


class _Piece(NamedTuple):
    """Images of a request that are to be computed."""

    job: Job
    first: int
    last: int
    runs: int  # that failed before


@dataclass(frozen=True)
class Failover:
    """What is done for requests while cards fail.

    wait_s: how long a request may wait for a card that comes back, from its arrival on.
    standby: a card that is used only while none of the others works.
    """

    wait_s: float = 0.0
    standby: CardWorker | None = None


class Scheduler:
    """Copies requests straight into the cards' buffers. Blocks while all are full, so that the rest waits in Triton,
    where priorities and timeouts work.

    Args:
        workers: one a card, started.
        min_ready_cards: how many must work for the model to count as ready.
        failover: what is done while cards fail.
        metrics: where it counts.
        changed: the condition that the cards' queues share.
        copy: copies pixels into a buffer.
        clock: time and threads.
    """

    def __init__(
        self,
        workers: Sequence[CardWorker],
        min_ready_cards: int,
        failover: Failover,
        metrics: Metrics,
        changed: Any,
        copy: CopyPixels,
        clock: Clock = SYSTEM,
    ) -> None:
        self.workers = workers
        self.standby = failover.standby
        self._min_ready_cards, self._wait_s = min_ready_cards, failover.wait_s
        self._metrics, self._changed, self._copy = metrics, changed, copy
        self._by_card = {worker.card: worker for worker in (*workers, *filter(None, [failover.standby]))}
        self._closing = self._closed = self._on_standby = False
        self._failed: deque[tuple[_Piece, CardError, str]] = deque()  # with the card
        self._failed_changed = clock.condition()
        self._rerun_thread = clock.start_thread(self._rerun, name="rerun")

    @property
    def ready_cards(self) -> int:
        """How many cards work, or are lent to another process; the standby is not counted."""
        return sum(worker.queue.state in (State.READY, State.YIELDED) for worker in self.workers)

    def is_ready(self) -> bool:
        """Whether enough cards work, or the standby does."""
        has_standby = self.standby is not None and self.standby.queue.state is State.READY
        return has_standby or self.ready_cards >= self._min_ready_cards

    def submit(self, jobs: Sequence[Job]) -> None:
        """Bring requests to the cards; each is answered, now or later, in every case. For one thread."""
        self._place([_Piece(job, 0, len(job), 0) for job in jobs])

    def _place(self, pieces: Sequence[_Piece], alone: bool = False) -> None:
        filling: tuple[CardWorker, Batch] | None = None
        left = sum(piece.last - piece.first for piece in pieces)
        for piece in pieces:
            job, first, last, runs = piece
            left -= last - first
            try:
                while first < last:
                    if filling is None:
                        filling = self._claim(job, last - first, left, alone)
                    if first == piece.first:
                        self._check_wanted(job)
                    worker, batch = filling
                    taken = batch.take(job, first, last, runs, self._copy)
                    first += taken
                    if alone:
                        batch.close()
                    if not batch.room:
                        filling = None
                        self._hand_in(worker, batch)
            except Resnet50Error as error:
                self._metrics.add("resnet50_refused_total", code=error.triton_code)
                job.fail(error)
            except Exception as error:  # a fault of one request must not fail the others
                job.fail(Resnet50Error(f"the request cannot be taken: {type(error).__name__}: {error}"))
        if filling is not None:
            self._hand_in(*filling)

    def _check_wanted(self, job: Job) -> None:
        # Triton drops what is cancelled or late in its queue: only a wait for a buffer leaves time for it here.
        if job.waited_s() > _WAITED_S:
            job.check_wanted()

    def _claim(self, job: Job, images: int, more: int, alone: bool) -> tuple[CardWorker, Batch]:
        """A card, and a batch that waits for it and has room for so many images, or else one of free buffers.

        Args:
            job: the request.
            images: of it.
            more: images of the requests that came with it.
            alone: give the standby, and a batch that is empty.

        Raises:
            CardError: no card works, nor will in time.
            Cancelled, Expired: the request is not wanted any more.
        """
        with self._changed:
            while not self._closing:
                chosen = self._choose(_ANY_SIZE if alone else images, more, alone)
                if chosen is not None:
                    queue, batch = chosen
                    queue.claim(batch)
                    return self._by_card[queue.card], batch
                left_s = self._wait_for_card_s(job, alone)
                if left_s <= 0:
                    raise CardError(self._why_not())
                if not self._changed.wait(min(left_s, _POLL_S)):
                    self._check_wanted(job)
        raise CardError("the model is being unloaded; send the request again")

    def _choose(self, images: int, more: int, alone: bool) -> tuple[CardQueue, Batch] | None:
        """What `choose` gives of the cards, or of the standby where none of them works."""
        to_standby = self.standby is not None and (alone or not self.ready_cards)
        if self.standby is None or not to_standby:
            chosen = choose([worker.queue for worker in self.workers], images, more)
        else:
            chosen = choose([self.standby.queue], images, more)
        if chosen is not None and not alone and to_standby is not self._on_standby:
            self._on_standby = to_standby
            self._metrics.set("resnet50_standby_active", to_standby)
            where = f"the standby {chosen[0].card}, because no card works" if to_standby else "the cards again"
            _log.warning("requests go to %s", where)
        return chosen

    def _wait_for_card_s(self, job: Job, alone: bool) -> float:
        """How long to wait for a card, where none can take a batch now; 0 or less where it is of no use."""
        states = set() if alone else {worker.queue.state for worker in self.workers}
        if State.YIELDED in states and State.READY not in states:  # a standby does not stand in for those
            for worker in self.workers:
                worker.queue.need()
            return _POLL_S
        if self.standby is not None:
            states.add(self.standby.queue.state)
        if State.READY in states:
            return _POLL_S
        return self._wait_s - job.waited_s() if State.RECOVERING in states else 0.0

    def _why_not(self) -> str:
        queues = [worker.queue for worker in self._by_card.values()]
        reasons = "; ".join(f"{queue.card} is {queue.state.value}: {queue.error}" for queue in queues)
        again = any(queue.state is State.RECOVERING for queue in queues)
        return f"no card works ({reasons}); " + (
            "send the request again in a second" if again else "repair the card and load the model again"
        )

    def _hand_in(self, worker: CardWorker, batch: Batch) -> None:
        if not batch.size:
            worker.queue.release(batch)
            return
        try:
            batch.upload()
        except Exception as error:
            failed = error if isinstance(error, CardError) else CardError(f"card '{worker.card}': {error}")
            worker.queue.release(batch, failed)
        else:
            if worker.submit(batch):
                return
            failed = worker.queue.error or CardError(f"card '{worker.card}' is {worker.queue.state.value}")
        self.rerun(worker.card, [batch], failed)

    # Requests of cards that failed

    def rerun(self, card: str, batches: Iterable[Batch], error: CardError) -> None:
        """Take the batches of a card that failed. Their requests are run again, or answered with the error."""
        pieces = [_failed_piece(batch, part) for batch in batches for part in batch.slices]
        failed = [(piece, error, card) for piece in pieces if not piece.job.is_answered]
        with self._failed_changed:
            if not self._closed:
                self._failed.extend(failed)
                self._failed_changed.notify_all()
                return
        for piece, _, _ in failed:  # that was being brought as the model was closed; the thread has ended
            self._gives_up(piece, error, card)

    def _rerun(self) -> None:
        while True:
            with self._failed_changed:
                self._failed_changed.wait_for(lambda: self._failed or self._closed)
                failed = list(self._failed)
                self._failed.clear()
            if not failed:
                return
            self._rerun_failed(failed)
            failed.clear()  # no variable here holds a request while nothing fails

    def _rerun_failed(self, failed: Sequence[tuple[_Piece, CardError, str]]) -> None:
        again = [piece for piece, error, card in failed if not self._gives_up(piece, error, card)]
        self._place([piece for piece in again if piece.runs < MAX_RUNS])
        for piece in again:
            if piece.runs == MAX_RUNS:
                self._place([piece], alone=True)

    def _gives_up(self, piece: _Piece, error: CardError, card: str) -> bool:
        """Answer with the error what is not to be run again."""
        if piece.runs == MAX_RUNS:
            self._metrics.add("resnet50_poison_total", card=card)
        most_runs = MAX_RUNS + (self.standby is not None and self.standby.queue.state is State.READY)
        if piece.runs < most_runs and piece.job.waited_s() < self._wait_s and not self._closing:
            self._metrics.add("resnet50_reruns_total", card=card)
            return False
        self._metrics.add("resnet50_failed_total", piece.job.fail(error), card=card)
        return True

    def close(self) -> None:
        """Answer what was taken, then let go of the cards."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for worker in self._by_card.values():
            worker.close()
        with self._failed_changed:
            self._closed = True
            self._failed_changed.notify_all()
        self._rerun_thread.join()


def choose(queues: Iterable[CardQueue], images: int, more: int) -> tuple[CardQueue, Batch] | None:
    """The card that has the least to do: the one with the most free buffer sets, and of those the smallest batch.

    Args:
        queues: the cards'.
        images: of the next request.
        more: images that come with it.

    Returns:
        The card's queue and the batch that it offers; None where no card can take one now.
    """
    best: tuple[CardQueue, Batch] | None = None
    for queue in queues:
        batch = queue.offer(images, more)
        if batch is not None and (best is None or _spare(queue, batch) > _spare(*best)):
            best = queue, batch
    return best


def _spare(queue: CardQueue, batch: Batch) -> tuple[int, int]:
    return queue.free_sets, -batch.size


def _failed_piece(batch: Batch, part: BatchSlice) -> _Piece:
    return _Piece(part.job, part.images.start, part.images.stop, part.runs + (batch.run is not None))
