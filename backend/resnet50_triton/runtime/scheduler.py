"""The cards of one model instance: requests in, spread over the cards that work."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..errors import CardError, Resnet50Error
from .batch import Batch
from .job import Job
from .metrics import Metrics
from .worker import CardWorker, State

_LOOK_S = 1.0
_WAITED_S = 1e-3


class CardPool:
    """Copies requests straight into the cards' buffers; blocks while all are full, so that the rest waits in Triton,
    where priorities and timeouts work.

    Args:
        workers: one a card, running.
        min_ready_cards: how many must work for the model to count as ready.
        metrics: where it counts.
        changed: the condition that the workers share.
    """

    def __init__(
        self, workers: Sequence[CardWorker], min_ready_cards: int, metrics: Metrics, changed: threading.Condition
    ) -> None:
        self.workers = workers
        self.min_ready_cards = min_ready_cards
        self._metrics = metrics
        self._changed = changed
        self._closing = False

    @property
    def working(self) -> int:
        """How many cards work, or are lent to another process."""
        return sum(worker.state in (State.READY, State.AWAY) for worker in self.workers)

    def is_ready(self) -> bool:
        """Whether enough cards work."""
        return self.working >= self.min_ready_cards

    def submit(self, jobs: Sequence[Job], attend: bool = False) -> None:
        """Bring requests to the cards; every one is answered, now or later, whatever happens. For one thread.

        Args:
            jobs: the requests.
            attend: wait for the last batch in this thread where the card is idle, instead of in the card's thread,
                which would take a tenth of a millisecond more; until then no other request can be brought.
        """
        filling: tuple[CardWorker, Batch] | None = None
        left = sum(map(len, jobs))
        for job in jobs:
            first = 0
            left -= len(job)
            try:
                while first < len(job):
                    if filling is None:
                        filling = self._acquire(len(job) - first, left)
                    if not first:
                        self._check_wanted(job)
                    worker, batch = filling
                    first += batch.take(job, first)
                    if not batch.room:
                        filling = None
                        self._hand_in(worker, batch, attend and job is jobs[-1] and first == len(job))
            except Resnet50Error as error:
                self._metrics.add("resnet50_refused_total", code=error.triton_code)
                job.fail(error)
            except Exception as error:  # whatever is wrong with one request is its own affair
                job.fail(Resnet50Error(f"the request cannot be taken: {type(error).__name__}: {error}"))
        if filling is not None:
            self._hand_in(*filling, attend)

    def _check_wanted(self, job: Job) -> None:
        # Triton drops what is cancelled or late in its queue: only a wait for a buffer leaves time for it here.
        if job.waited_s() > _WAITED_S:
            job.check_wanted()

    def _acquire(self, images: int, more: int) -> tuple[CardWorker, Batch]:
        """A card, and a batch that waits for it and has room for so many images, or else a free set of buffers.

        Args:
            images: of the request.
            more: images of the requests that came with it.

        Raises:
            CardError: no card works.
        """
        with self._changed:
            while not self._closing:
                batches = [(worker, batch) for worker in self.workers if (batch := worker.offer(images, more))]
                if batches:
                    # The card that has the least to do: the most free sets, and of those the smallest batch.
                    worker, batch = max(batches, key=lambda offer: (len(offer[0].free), -offer[1].images))
                    worker.fill(batch)
                    return worker, batch
                states = {worker.state for worker in self.workers}
                if State.READY not in states:
                    if State.AWAY not in states:
                        raise CardError(self._why_not())
                    for worker in self.workers:
                        worker.wanted = worker.state is State.AWAY
                    self._changed.notify_all()
                self._changed.wait(_LOOK_S)
        raise CardError("the model is being unloaded; send the request again")

    def _why_not(self) -> str:
        reasons = "; ".join(f"{worker.card} is {worker.state.value}: {worker.error}" for worker in self.workers)
        again = any(worker.state is State.RECOVERING for worker in self.workers)
        return f"no card works ({reasons}); " + (
            "send the request again in a second" if again else "repair the card and load the model again"
        )

    def _hand_in(self, worker: CardWorker, batch: Batch, attend: bool) -> None:
        if batch.images:
            try:
                batch.send()
            except Exception as error:
                failed = error if isinstance(error, CardError) else CardError(f"card '{worker.card}': {error}")
                with self._changed:
                    worker.put_back(batch, failed)
            else:
                with self._changed:
                    taken = worker.put(batch, attend)
                if batch.is_attended:
                    worker.attend(batch)
                if taken:
                    return
                failed = worker.error or CardError(f"card '{worker.card}' is {worker.state.value}")
            self._metrics.add("resnet50_failed_total", batch.fail(failed), card=worker.card)
        else:
            with self._changed:
                worker.put_back(batch)

    def close(self) -> None:
        """Answer what was taken, then let go of the cards."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for worker in self.workers:
            worker.close()
