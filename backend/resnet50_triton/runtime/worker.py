"""One card at work: serve until it fails, recover, and serve again.

A card is driven by one thread at a time, the one that holds `_driving`: its own thread, or while that sleeps the thread
that brings a batch, which then starts it at once, because waking a thread up takes time. Of the end of that run a card
that has `events` tells its thread; on any other that is woken up to wait for it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..errors import CardError, CardTimeout, WrongResult
from .batch import Batch
from .clock import SYSTEM, Clock
from .kernel import Events, Kernel
from .latency import LatencyModel, measure_latency
from .metrics import Completed, Metrics
from .queue import CardQueue, State
from .selftest import CrossCheck, SelfTest
from .session import CardSession

_log = logging.getLogger(__name__)

_BUSY_POLL_S = 4e-3  # how often a busy card looks for a batch, where the next one is due already
_POLL_S = 0.02  # how often an idle card looks whether another process waits for it
_BACK_OFF_S = 0.5  # before the second attempt; doubled for each after
_BACK_OFF_MAX_S = 30.0
_TURN_S = 0.2  # how long a card that was programmed serves before another process may have it
_FILL_S = 10.0  # how long a batch may take to be filled
_LOAD_TIMEOUT_S = 120.0  # for a run before the latency is known

FailedBatches = Callable[[str, list[Batch], CardError], None]  # the card, what it had, why it failed


@dataclass(frozen=True)
class CardSettings:
    """How a card is run."""

    kernel_timeout_s: float | None = None  # None: from the measured latency
    recovery_attempts: int = 5
    selftest_interval_s: float | None = 60.0  # None: at load and after a recovery only


class CardWorker:
    """One card and the thread that drives it.

    Args:
        session: our use of the card.
        queue: what the card has to do.
        settings: how to run it.
        selftest: the known-answer test.
        cross_check: which batches are computed once more.
        metrics: where it counts.
        on_failed: takes the batches that a failed card had.
        clock: time and threads.
    """

    def __init__(
        self,
        session: CardSession,
        queue: CardQueue,
        settings: CardSettings,
        selftest: SelfTest,
        cross_check: CrossCheck,
        metrics: Metrics,
        on_failed: FailedBatches,
        clock: Clock = SYSTEM,
    ) -> None:
        self.card = session.card
        self.queue = queue
        self.latency: LatencyModel | None = None
        self._session, self._settings = session, settings
        self._selftest, self._cross_check = selftest, cross_check
        self._metrics, self._on_failed, self._clock = metrics, on_failed, clock
        self._driving = clock.lock()
        self._opened_s = self._last_selftest_s = 0.0
        self._uncounted: deque[Completed] = deque()  # see `_count`
        self._thread: Any = None
        metrics.start_at_zero(card=self.card)

    @property
    def kernel(self) -> Kernel | None:
        """The kernel, while the card is open."""
        return self._session.kernel

    def load(self) -> None:
        """Get the card, program it, test it and measure it. Raises CardError, or what is wrong with the files."""
        try:
            self._open()
        except (RuntimeError, OSError) as error:  # of a copy: the buffers hand on what PYNQ raises
            raise self._as_card_error(error) from error

    def start(self, failed: CardError | None = None) -> None:
        """Start the thread; with an error, begin by recovering a card that could not be loaded."""
        self._thread = self._clock.start_thread(self._run, failed, name=f"card {self.card}")

    def close(self) -> None:
        """Answer what was taken, free the buffers and leave the card."""
        self.queue.close()
        if self._thread is not None:
            self._thread.join()
        with self._driving:
            self._set_state(State.CLOSED)
            self._session.close()

    def submit(self, batch: Batch) -> bool:
        """Take a batch of our queue that is in the card's memory; False where the card has failed meanwhile."""
        if not self.queue.submit(batch):
            return False
        if self._driving.acquire(blocking=False):
            try:
                self._start_due()
                self._count()  # of the batch before; the card works meanwhile
            except Exception as error:
                self.queue.report(error)
            finally:
                self._driving.release()
        self._wake()
        return True

    def _wake(self) -> None:
        """Wake the card's thread up where it has something to do; of a run's end it may know by itself."""
        events = self._events
        if events is None:
            self.queue.wake()
        elif self.queue.has_waiting:
            events.poke()

    @property
    def _events(self) -> Events | None:
        kernel = self._session.kernel
        return kernel.events if kernel is not None else None

    # The card's thread

    def _run(self, failed: CardError | None) -> None:
        if failed is not None:
            self._fail(failed)
        while failed is None or self._recover(failed):
            try:
                self._serve()
                return
            except Exception as error:
                # Without the traceback: until the next failure its frames would hold the batch and its buffers.
                failed = CardError(str(self._as_card_error(error)))

    def _serve(self) -> None:
        while not self.queue.is_finished:
            events = self._events
            seen = events.events if events is not None else 0  # before it looks for work
            with self._driving:
                try:
                    is_busy = self._step()
                except Exception as error:
                    self._fail(error)  # before another thread may drive the card
                    raise
            if is_busy:
                continue
            if events is not None:
                events.wait_for_event(seen, _POLL_S)
            else:
                self.queue.wait_for_work(_POLL_S)

    def _step(self) -> bool:
        """Do what comes next on the card; False where there is nothing to do."""
        self._start_due()
        self._count()
        batch = self.queue.first_running
        if batch is not None:
            if self._wait(batch, self._poll_s()):
                self._complete(batch)
            return True
        if self._is_contended:
            self._yield()
            return True
        if self._selftest_is_due():
            self._run_selftest()
            return True
        return False

    def _start_due(self) -> None:
        """Start what is due, unless the card is to do something else first."""
        while self.queue.is_due() and not self._selftest_is_due() and not self._is_contended:
            self._start_next()

    def _start_next(self) -> None:
        kernel = self._session.take_back()
        batch = self.queue.take_next()
        if batch is not None:
            batch.started_s = self._clock.monotonic()
            batch.run = kernel.start(batch.buffers, batch.size)

    def _poll_s(self) -> float:
        """How long the running batch may be waited for, before a look for the next."""
        dispatch_in_s = self.queue.dispatch_in_s()
        return dispatch_in_s if dispatch_in_s > 0 else _BUSY_POLL_S

    def _wait(self, batch: Batch, poll_s: float) -> bool:
        """Wait for a running batch for so long, or until its deadline; whether it is done. Raises CardTimeout."""
        begin_s = self.queue.begin_s(batch)
        limit_s = self._deadline_s(batch.size)
        left_s = max(0.0, begin_s + limit_s - self._clock.monotonic())
        if batch.run is None or not self._session.take_back().is_done(batch.run, min(left_s, poll_s)):
            if poll_s < left_s:
                return False
            raise CardTimeout(f"card '{self.card}': {batch.size} images took longer than {limit_s:.3g} s")
        batch.kernel_start_s, batch.kernel_end_s = begin_s, self._clock.monotonic()
        return True

    def _complete(self, batch: Batch) -> None:
        """Take a batch that is done off the card, and answer it."""
        self.queue.complete(batch)
        try:
            self._start_due()  # before the answers are made: the card goes on meanwhile
            outputs = batch.download()
            if self._cross_check.is_due():
                self._run_cross_check(batch, outputs)
        except WrongResult as error:
            self._answer(batch, error.expected)
            raise
        except Exception as error:
            self._on_failed(self.card, [batch], self._as_card_error(error))
            raise
        self.queue.put_free(batch)
        self._answer(batch, outputs)

    def _answer(self, batch: Batch, outputs: NDArray[Any]) -> None:
        totals_s = batch.complete(outputs)
        kernel_s = batch.kernel_end_s - batch.kernel_start_s
        self._uncounted.append(Completed(batch.size, batch.copy_s, kernel_s, totals_s))

    def _count(self) -> None:
        """Count what was answered. Not before the answer: it takes a tenth of a millisecond after a wait."""
        while self._uncounted:
            self._metrics.count(self._uncounted.popleft(), card=self.card)

    # Is the card right?

    def _selftest_is_due(self) -> bool:
        interval_s = self._settings.selftest_interval_s
        return interval_s is not None and self._clock.monotonic() >= self._last_selftest_s + interval_s

    def _run_selftest(self) -> None:
        kernel = self._session.take_back()
        self._metrics.add("resnet50_selftest_runs_total", card=self.card)
        try:
            self._selftest.run(kernel, self._deadline_s(1))
        except WrongResult:
            self._metrics.add("resnet50_selftest_mismatches_total", card=self.card)
            raise
        self._last_selftest_s = self._clock.monotonic()

    def _run_cross_check(self, batch: Batch, outputs: NDArray[Any]) -> None:
        self._metrics.add("resnet50_cross_checks_total", card=self.card)
        try:
            self._cross_check.run(self.card, batch.buffers.host_pixels[: batch.size], outputs)
        except WrongResult:
            self._metrics.add("resnet50_cross_check_mismatches_total", card=self.card)
            raise

    # Sharing the card with other processes

    @property
    def _is_contended(self) -> bool:
        """Whether another process is to have the card. Not at once after it was programmed: under load, two models with
        different xclbins would program it in turns and serve nothing."""
        return self._clock.monotonic() >= self._opened_s + _TURN_S and self._session.is_contended

    def _yield(self) -> None:
        """Let another process have the card; nothing runs on it."""
        if self._session.is_shared:
            self._session.lend()
            return
        # It will be programmed with another xclbin: all that we have on it goes, after what was taken is done.
        _log.info("card '%s' is yielded to another xclbin", self.card)
        self._set_state(State.YIELDED)
        self.queue.wait_filled(_FILL_S)
        while not self.queue.is_empty:
            batch = self.queue.first_running
            if batch is not None:
                if self._wait(batch, self._poll_s()):
                    self._complete(batch)
            elif self.queue.is_due():  # raises what was reported
                self._start_next()
        self.queue.clear()
        self._session.leave()
        if self.queue.wait_needed():
            self._open()

    # Failure and recovery

    def _fail(self, error: Exception) -> None:
        """Take no more batches, and give back what the card had."""
        failed = self._as_card_error(error)
        _log.error("card '%s' failed: %s", self.card, failed)
        if isinstance(error, CardTimeout):
            self._metrics.add("resnet50_timeouts_total", card=self.card)
        batches = self.queue.fail(failed)
        self._report_state()
        self._on_failed(self.card, batches, failed)

    def _recover(self, failed: CardError) -> bool:
        """Bring the card back; False where it is given up, or the model closes meanwhile."""
        failed_s = self._clock.monotonic()
        self.queue.wait_filled(_FILL_S)
        for attempt, pause_s in enumerate(_pauses_s(self._settings.recovery_attempts), start=1):
            if self.queue.wait_closing(pause_s):
                return False
            try:
                self._session.reset()
                self._open()
            except Exception as again:
                failed = self._as_card_error(again)
                self._set_state(State.RECOVERING, failed)
                _log.error("card '%s' does not come back (attempt %d): %s", self.card, attempt, again)
            else:
                took_s = self._clock.monotonic() - failed_s
                self._metrics.add("resnet50_recoveries_total", card=self.card)
                self._metrics.add("resnet50_recovery_seconds_total", took_s, card=self.card)
                _log.warning("card '%s' works again after %.3f s", self.card, took_s)
                return True
        _log.error("card '%s' is not used any more: %s", self.card, failed)
        self._session.leave()
        self._set_state(State.QUARANTINED, failed)
        return False

    def _open(self) -> None:
        """Program the card, run the self-test, measure the latency the first time, and take batches."""
        kernel = self._session.open()
        timeout_s = self._deadline_s(1)
        self._selftest.run(kernel, timeout_s)
        self._last_selftest_s = self._clock.monotonic()
        if self.latency is None:
            self.latency = measure_latency(kernel, timeout_s, self._clock.monotonic)
        self._opened_s = self._clock.monotonic()
        self.queue.open(kernel.buffers, self.latency)
        self._report_state()

    def _deadline_s(self, batch_size: int) -> float:
        if self._settings.kernel_timeout_s is not None:
            return self._settings.kernel_timeout_s
        return self.latency.deadline_s(batch_size) if self.latency else _LOAD_TIMEOUT_S

    def _set_state(self, state: State, error: CardError | None = None) -> None:
        self.queue.set_state(state, error)
        self._report_state()

    def _report_state(self) -> None:
        state = self.queue.state
        for other in State:
            self._metrics.set("resnet50_card_state", float(other is state), card=self.card, state=other.value)

    def _as_card_error(self, error: Exception) -> CardError:
        if isinstance(error, CardError):
            return error
        return CardError(f"card '{self.card}': {type(error).__name__}: {error}")


def _pauses_s(attempts: int) -> Iterator[float]:
    """How long to wait before each attempt; before the first not at all."""
    yield 0.0
    for attempt in range(attempts - 1):
        yield min(_BACK_OFF_MAX_S, _BACK_OFF_S * 2**attempt)
