"""One card at work: its thread starts filled batches, waits with a deadline, answers, and brings a failed card back.

A batch that finds the card idle is started by the thread that brings it, and may be waited for there (`attend`): each
thread less that has to wake up saves 0.05 to 0.1 ms.

LOADING ──► READY ◄──► AWAY (another process has the card)
              │  ▲
              ▼  │ known picture right
           RECOVERING ──► QUARANTINED (as many tries as allowed have failed)

Over 400 lines, because every state's work touches the same queues under the same lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards import open_card, reset_card
from ..errors import CardError, CardTimeout, WrongResult
from .ahead import ahead_s
from .batch import Batch
from .kernel import BufferSet, Kernel
from .latency import LatencyModel, measure_latency
from .lease import HAND_OVER_S, Lease
from .metrics import Answered, Metrics
from .selftest import CrossCheck, SelfTest

_log = logging.getLogger(__name__)

IN_FLIGHT = 2  # starts queued on the card, so that the next begins without a word from the host
_SLICE_S = 4e-3  # how often the thread looks for a batch that comes when the next start is already due
_COPY_S = 1e-4  # more than it takes to copy an image
_LOOK_S = 0.02  # how often an idle card looks whether another process wants it
_BACK_OFF_S = 0.5  # before the second try; doubled for each after
_BACK_OFF_MAX_S = 30.0
_FILL_S = 10.0  # how long a set may take to be filled
_LOAD_TIMEOUT_S = 120.0  # for a start before the curve is known


class State(Enum):
    """What a card is doing."""

    LOADING = "loading"
    READY = "ready"
    AWAY = "away"
    RECOVERING = "recovering"
    QUARANTINED = "quarantined"
    CLOSED = "closed"


@dataclass(frozen=True)
class Settings:
    """How a card is run."""

    buffer_sets: int = 3
    kernel_batch_size: int = 128
    kernel_timeout_s: float | None = None  # None: from the measured curve
    recovery_attempts: int = 5
    selftest_interval_s: float | None = 60.0
    threads: int | None = None


class CardWorker:
    """One card and the thread that drives it.

    Args:
        card: its name.
        xclbin: the xclbin.
        weights: int8 (1000, 2048).
        settings: how to run it.
        selftest: the known picture.
        cross_check: which batches are computed once more.
        lease: our share in the card.
        metrics: where it counts.
        changed: notified whenever the state or the free buffers change; guards them.
    """

    def __init__(
        self,
        card: str,
        xclbin: Path,
        weights: NDArray[np.int8],
        settings: Settings,
        selftest: SelfTest,
        cross_check: CrossCheck,
        lease: Lease,
        metrics: Metrics,
        changed: threading.Condition,
    ) -> None:
        self.card = card
        self.state = State.LOADING
        self.free: list[BufferSet] = []
        self.filling = 0  # sets that the pool is writing to
        self.wanted = False  # the pool waits for a set of ours
        self.error: CardError | None = None  # why it does not work
        self.kernel: Kernel | None = None
        self.latency: LatencyModel | None = None
        self._xclbin, self._weights, self._settings = xclbin, weights, settings
        self._selftest, self._cross_check, self._lease, self._metrics, self.changed = (
            selftest,
            cross_check,
            lease,
            metrics,
            changed,
        )
        self._filled: deque[Batch] = deque()
        self._running: deque[Batch] = deque()
        self._uncounted: deque[Answered] = deque()  # see `_count`
        self._reported: Exception | None = None  # what the pool met with on our card
        self._idle = False  # the thread waits for work, and `changed` is free: who holds that may start a batch
        self._attended = False  # who brought a batch waits for it in `attend`; the thread keeps off meanwhile
        self._last_done_s = self._last_selftest_s = self._failed_s = 0.0
        self._closing = False
        metrics.start_at_zero(card=card)
        self._thread = threading.Thread(target=self._work, name=f"worker {card}", daemon=True)

    # Loading and closing, in the caller's thread

    def load(self) -> None:
        """Get the card, program it, try it and measure it. Raises CardError, or what is wrong with the files."""
        self._lease.acquire(HAND_OVER_S)
        self._open()
        self._become(State.READY)

    def run(self, failed: Exception | None = None) -> None:
        """Start the thread; with an error, begin by recovering a card that could not be loaded."""
        if failed is not None:
            self._fail(failed)
        self._thread.start()

    def close(self) -> None:
        """Answer what was taken, free the buffers and leave the card."""
        with self.changed:
            self._closing = True
            self.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        if self.kernel is not None:
            self.kernel.close()
        self._become(State.CLOSED)
        self._lease.close()

    # The pool's side, with `changed` held

    def offer(self, images: int, more: int) -> Batch | None:
        """What the pool could fill next: a batch that waits for the card and has room, or one of a free set.

        Args:
            images: of the next request; it is not spread over two starts to fill the first.
            more: of those that come with it, which may be put beside it.
        """
        if self._reported is not None:
            return None  # the card has failed, its thread only has not noticed
        if self._filled and self._running and self.state is State.READY:
            last = self._filled[-1]
            takes = last.room >= images and not last.is_selftest
            if takes and self._busy_s() > min(images + more, last.room) * _COPY_S:
                return last
        return Batch(self.free[-1], len(self.free[-1].host_pixels)) if self.free else None

    def fill(self, batch: Batch) -> None:
        """Take what was offered; until it is put, or put back, it is not started."""
        self.filling += 1
        batch.is_filling = True
        if not batch.images:
            self.free.remove(batch.buffers)

    def put(self, batch: Batch, attend: bool = False) -> bool:
        """Take a filled batch; False where the card has failed meanwhile.

        Args:
            batch: sent to the card's memory.
            attend: the caller has nothing else to do. Where that spares waking the thread up, `batch.is_attended` is
                set, and the caller has to call `attend`.
        """
        self.filling -= 1
        batch.is_filling = False
        if self.state not in (State.READY, State.AWAY) or not self._owns(batch):
            self.changed.notify_all()
            return False
        starts = self._idle and not self._filled and not self._running
        if batch not in self._filled:
            self._filled.append(batch)
        if starts:
            try:
                self._start_next()  # here and now: the thread takes a tenth of a millisecond to wake up
            except Exception as error:
                self._reported = error
            else:
                batch.is_attended = self._attended = attend
        if not self._attended:
            self._idle = False
            self.changed.notify_all()  # it goes on once we let go of `changed`
        return True

    def put_back(self, batch: Batch, error: Exception | None = None) -> None:
        """Take back a batch that nothing came of; with an error, the card has failed."""
        self.filling -= 1
        batch.is_filling = error is not None  # never to be started, if it waits for the card already
        if error is not None and self.state in (State.READY, State.AWAY):
            self._reported = error
        elif self.state is State.READY and self._owns(batch):
            self.free.append(batch.buffers)
        self.changed.notify_all()

    def _owns(self, batch: Batch) -> bool:
        """Whether its buffers are there: a card is not brought back over one that is filled, unless that takes long."""
        return self.kernel is not None and batch.buffers in self.kernel.buffers

    # The pool's side, with `changed` free

    def attend(self, batch: Batch) -> None:
        """Wait for a batch that is alone on the card, and answer it; what goes wrong is left to the thread."""
        try:
            self._count()  # of the batch before; the card works meanwhile
            while not self._is_done(batch):
                pass
            self._complete(batch)
        except Exception as error:
            self._reported = error
        finally:
            with self.changed:
                self._attended = False
                if self._reported or self._running or self._filled or not self._idle:
                    self.changed.notify_all()

    # The thread

    def _work(self) -> None:
        while self._goes_on():
            try:
                if self.state is State.READY:
                    self._turn()
                elif self.state is State.AWAY:
                    self._stay_away()
                else:
                    self._recover()
            except Exception as error:
                self._fail(error)
        self._count()

    def _goes_on(self) -> bool:
        if self.state is State.QUARANTINED:
            return False
        with self.changed:
            busy = self._filled or self._running or self.filling or self._attended
            return not self._closing or bool(busy and self.state is State.READY)

    def _turn(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self._attended)
        self._count()
        if self._reported is not None:
            raise self._reported
        self._start_filled()
        if self._running:
            batch = self._running[0]
            if self._is_done(batch):
                self._complete(batch)
        elif self._lease.held and self._lease.wanted():
            self._hand_over()
        elif self._lease.held and self._selftest_is_due() and self.free:
            with self.changed:
                buffers = self.free.pop() if self.free else None
            if buffers is not None:
                self._queue_selftest(buffers)
        else:
            with self.changed:
                self._idle = self._lease.held
                self.changed.wait_for(self._has_work, _LOOK_S)
                self._idle = False

    def _has_work(self) -> bool:
        could_start = self._filled and not self._filled[0].is_filling
        could_wait = self._running and not self._attended
        return bool(could_start or could_wait or self._reported or (self._closing and not self.filling))

    def _start_filled(self, unread: bool = False) -> None:
        while self._filled and len(self._running) < IN_FLIGHT and self._spare_s() <= 0 and self._may_start(unread):
            if not self._start_next():
                return

    def _start_next(self) -> bool:
        """Put the next batch on the card; False where it is being filled."""
        with self.changed:
            batch = self._filled[0]
            if batch.is_filling:
                return False
            batch.started_s = time.monotonic()
            batch.start = self._kernel.start(batch.buffers, batch.images)
            self._running.append(self._filled.popleft())
        return True

    def _busy_s(self) -> float:
        """How long the card is expected to work on what is on it."""
        if not self._running or self.latency is None:
            return 0.0
        begun_s = max(self._running[0].started_s, self._last_done_s)
        return begun_s + sum(self.latency.expected_s(batch.images) for batch in self._running) - time.monotonic()

    def _spare_s(self) -> float:
        """How much later is soon enough to queue a batch behind the one that runs; 0 or less for now."""
        if not self._running or self.latency is None:
            return 0.0
        return self._busy_s() - ahead_s(self.latency.expected_s(self._running[0].images))

    def _may_start(self, unread: bool) -> bool:
        """Whether the card is ours for the next start; handed over and taken back where another wants it."""
        if self._lease.held and self._lease.wanted():
            if self._running or unread:
                return False  # first what is on the card
            self._hand_over()
            if self.state is State.AWAY:
                return False
        if not self._lease.held:
            self._lease.acquire(HAND_OVER_S)
            self._kernel.place_weights(self._weights)
        return True

    def _is_done(self, batch: Batch) -> bool:
        """Wait for a start, but look up now and then while there is room behind it. Raises CardTimeout."""
        begin_s = max(batch.started_s, self._last_done_s)
        limit_s = self._deadline_s(batch.images)
        left_s = max(0.0, begin_s + limit_s - time.monotonic())
        slice_s = left_s
        if len(self._running) < IN_FLIGHT and not batch.is_attended:
            spare_s = self._spare_s()
            slice_s = min(left_s, spare_s if spare_s > 0 else _SLICE_S)
        if not self._kernel.is_done(batch.start, slice_s):
            if slice_s < left_s:
                return False
            raise CardTimeout(f"card '{self.card}': {batch.images} images took longer than {limit_s:.3g} s")
        batch.done_s = time.monotonic()
        batch.kernel_s = batch.done_s - begin_s
        return True

    def _complete(self, batch: Batch) -> None:
        """Take a batch that is done off the card."""
        with self.changed:
            self._running.popleft()
            self._last_done_s = batch.done_s
        try:
            self._start_filled(unread=True)  # before the answers are made: the card goes on meanwhile
            self._finish(batch)
        except Exception as error:
            self._answer_failed([batch], error)
            raise

    def _finish(self, batch: Batch) -> None:
        results = batch.read()
        if batch.is_selftest:
            self._check_selftest(results)
        elif self._cross_check.wants():
            self._cross_check_batch(batch, results)
        with self.changed:
            again = self._selftest_is_due() and not batch.is_selftest and self.state is State.READY
            if not again and self.state is State.READY:
                self.free.append(batch.buffers)
                if not batch.is_attended:  # else who would fill it is here
                    self.changed.notify_all()
        if again:
            self._queue_selftest(batch.buffers)
        if not batch.is_selftest:
            self._answer(batch, results)

    def _answer(self, batch: Batch, results: NDArray[Any]) -> None:
        image = self._kernel.image
        totals_s = []
        for part in batch.parts:
            job = part.job
            count = part.images.stop - part.images.start
            origin = batch.origin(self.card, image, job)
            job.succeed(part.images, results[part.first : part.first + count], origin)
            totals_s.append(job.waited_s())
        self._uncounted.append(Answered(batch.images, batch.copy_s, batch.kernel_s, totals_s))
        if not batch.is_attended:
            self._count()

    def _count(self) -> None:
        """Count what was answered. Not before the answer: it takes a tenth of a millisecond after a wait."""
        while self._uncounted:
            self._metrics.count(self._uncounted.popleft(), card=self.card)

    # The known picture

    def _selftest_is_due(self) -> bool:
        interval_s = self._settings.selftest_interval_s
        return interval_s is not None and time.monotonic() >= self._last_selftest_s + interval_s

    def _queue_selftest(self, buffers: BufferSet) -> None:
        self._last_selftest_s = time.monotonic()
        buffers.load(self._selftest.pixels)
        with self.changed:
            self._filled.append(Batch(buffers, 1, images=1, is_filling=False, is_selftest=True))

    def _check_selftest(self, results: NDArray[Any]) -> None:
        self._metrics.add("resnet50_selftest_runs_total", card=self.card)
        try:
            self._selftest.check(self.card, results)
        except WrongResult:
            self._metrics.add("resnet50_selftest_mismatches_total", card=self.card)
            raise

    def _cross_check_batch(self, batch: Batch, results: NDArray[Any]) -> None:
        self._metrics.add("resnet50_cross_checks_total", card=self.card)
        try:
            self._cross_check.check(self.card, batch.buffers.host_pixels[: batch.images], results)
        except WrongResult:
            self._metrics.add("resnet50_cross_check_mismatches_total", card=self.card)
            raise

    # Sharing the card with other processes

    def _hand_over(self) -> None:
        """Let another process have the card; nothing runs on it."""
        if all(other.uuid == self._kernel.image.uuid for other in self._lease.others()):
            self._kernel.drop_weights()  # the card has room for one set
            self._lease.release()
            return
        # It will be programmed with another image: all that we have on it goes, after what was taken is done.
        _log.info("card '%s' is handed over to another image", self.card)
        self._become(State.AWAY)
        with self.changed:
            self.changed.wait_for(lambda: not self.filling, _FILL_S)
        while self._filled or self._running:
            if self._reported is not None:
                raise self._reported
            if not self._running:
                self._start_next()
            batch = self._running[0]
            if self._is_done(batch):
                self._complete(batch)
        with self.changed:
            self.free.clear()
            kernel, self.kernel = self._kernel, None
        kernel.close()
        self._lease.release()

    def _stay_away(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.wanted or self._closing, _LOOK_S)
        if self.wanted:
            self._lease.acquire(HAND_OVER_S)
            self._open()
            self._become(State.READY)

    # Failure and recovery

    def _fail(self, error: Exception) -> None:
        failed = _as_card_error(self.card, error)
        _log.error("card '%s' failed: %s", self.card, failed)
        if isinstance(error, CardTimeout):
            self._metrics.add("resnet50_timeouts_total", card=self.card)
        with self.changed:
            batches = [*self._running, *self._filled]
            self._running.clear()
            self._filled.clear()
            self._reported = None
            self.error = failed
        self._failed_s = time.monotonic()
        self._become(State.RECOVERING)
        self._answer_failed(batches, failed)

    def _answer_failed(self, batches: list[Batch], error: Exception) -> None:
        for batch in batches:
            requests = batch.fail(_as_card_error(self.card, error))
            self._metrics.add("resnet50_failed_total", requests, card=self.card)

    def _recover(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self.filling, _FILL_S)
        for attempt in range(self._settings.recovery_attempts):
            if attempt and self._sleeps(min(_BACK_OFF_MAX_S, _BACK_OFF_S * 2 ** (attempt - 1))):
                return
            try:
                if not self._lease.held:
                    self._lease.acquire(HAND_OVER_S)
                self._reset()
                self._open()
            except Exception as error:
                self.error = _as_card_error(self.card, error)
                _log.error("card '%s' does not come back (try %d): %s", self.card, attempt + 1, error)
            else:
                took_s = time.monotonic() - self._failed_s
                self._metrics.add("resnet50_recoveries_total", card=self.card)
                self._metrics.add("resnet50_recovery_seconds_total", took_s, card=self.card)
                _log.warning("card '%s' works again after %.3f s", self.card, took_s)
                self._become(State.READY)
                return
        _log.error("card '%s' is not used any more: %s", self.card, self.error)
        self._lease.release()
        self._become(State.QUARANTINED)

    def _sleeps(self, seconds: float) -> bool:
        """Wait; True where the model is closed meanwhile."""
        with self.changed:
            return self.changed.wait_for(lambda: self._closing, seconds)

    def _reset(self) -> None:
        kernel, self.kernel = self.kernel, None
        if kernel is not None:
            kernel.reset_card()
        else:
            reset_card(self.card, open_card(self.card))

    # The kernel

    def _open(self) -> None:
        """Program the card, run the known picture, and measure the curve the first time."""
        settings = self._settings
        timeout_s = self._deadline_s(1) if self.latency or settings.kernel_timeout_s else _LOAD_TIMEOUT_S
        self.kernel = Kernel(
            self._xclbin,
            self._weights,
            self.card,
            max_batch=settings.kernel_batch_size,
            timeout_s=timeout_s,
            threads=settings.threads,
            buffer_sets=settings.buffer_sets,
        )
        self._selftest.run(self.kernel, timeout_s)
        self._last_selftest_s = time.monotonic()
        if self.latency is None:
            self.latency = measure_latency(self.kernel)

    def _deadline_s(self, images: int) -> float:
        if self._settings.kernel_timeout_s is not None:
            return self._settings.kernel_timeout_s
        return self.latency.deadline_s(images) if self.latency else _LOAD_TIMEOUT_S

    @property
    def _kernel(self) -> Kernel:
        if self.kernel is None:
            raise CardError(f"card '{self.card}' is {self.state.value}")
        return self.kernel

    def _become(self, state: State) -> None:
        with self.changed:
            self.state = state
            self.wanted = False
            if state is State.READY:
                self.free = list(self._kernel.buffers)
                self.error = None
            else:
                self.free.clear()
            self.changed.notify_all()
        for other in State:
            self._metrics.set("resnet50_card_state", float(other is state), card=self.card, state=other.value)


def _as_card_error(card: str, error: Exception) -> CardError:
    return error if isinstance(error, CardError) else CardError(f"card '{card}': {type(error).__name__}: {error}")
