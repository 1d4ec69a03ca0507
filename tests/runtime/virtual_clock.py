"""Virtual time and threads: one thread runs at a time, a seeded random choice says which, and nobody waits.

Every lock, condition and sleep is a point at which another thread may go on. Time passes only when no thread can go on,
or now and then all the same, as for threads that the machine keeps waiting. So one seed is one schedule.
"""

from __future__ import annotations

import heapq
import itertools
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import greenlet
from resnet50_triton.runtime.clock import Clock


class Violation(Exception):
    """The simulated code broke a rule."""


@dataclass(frozen=True)
class Pace:
    """How threads take turns.

    stay: the chance at each point that the same thread goes on.
    freeze: the chance that it is kept waiting, for up to `freeze_s`.
    freeze_released: the same where it has just let go of a lock: what should be one step, but is two, shows there.
    hurry: the chance that time passes though somebody could go on.
    reorder: the chance that the thread gets another rank; those of the highest rank go on first. 0: all are equal.
    """

    stay: float
    freeze: float
    freeze_released: float
    freeze_s: float
    hurry: float
    reorder: float


class Thread:
    """One virtual thread."""

    def __init__(self, clock: VirtualClock, target: Callable[..., Any], args: tuple[Any, ...], name: str) -> None:
        self.name, self.owner = name, ""
        self.is_done = self.timed_out = False
        self.rank = 0.0
        self.ticket = 0  # counts its waits, so that a timer of an earlier one is not taken for this one's
        self.waiting = "to begin"
        self._clock, self._target, self._args = clock, target, args
        self._joining: list[Thread] = []
        self.greenlet = greenlet.greenlet(self._run, clock.hub)

    def _run(self) -> None:
        try:
            self._target(*self._args)
        except Exception:
            self._clock.violate(f"thread '{self.name}' ended:\n{traceback.format_exc()}")
        self.is_done = True
        for thread in self._joining:
            self._clock.wake(thread)

    def join(self) -> None:
        """Wait until it has ended."""
        self._clock.switch()
        while not self.is_done:
            self._joining.append(self._clock.current)
            self._clock.block(f"for the end of '{self.name}'")


class VirtualClock(Clock):
    """Args:
    rng: chooses.
    pace: how threads take turns.
    max_steps: after so many the code counts as one that never ends.
    """

    def __init__(self, rng: random.Random, pace: Pace, max_steps: int) -> None:
        self.now_s, self.steps = 1000.0, 0
        self.hub = greenlet.getcurrent()
        self.current: Thread
        self.threads: list[Thread] = []
        self.locks: list[VirtualCondition] = []
        self.is_over = False  # threads that are left are thrown away, and what they do on their way out counts no more
        self._random, self._pace, self._max_steps = rng.random, pace, max_steps
        self._runnable: list[Thread] = []
        self._timers: list[tuple[float, int, Thread, int]] = []
        self._number = itertools.count()
        self._violation: Violation | None = None

    # What the runtime calls

    def monotonic(self) -> float:  # type: ignore[override]
        return self.now_s

    def sleep(self, seconds: float) -> None:  # type: ignore[override]
        if seconds > 0:
            self.block("asleep", seconds)
        else:
            self.switch()

    def lock(self) -> VirtualCondition:
        return self.condition(is_recursive=False)

    def condition(self, is_recursive: bool = True) -> VirtualCondition:
        made = VirtualCondition(self, is_recursive)
        self.locks.append(made)
        return made

    def start_thread(self, target: Callable[..., None], *args: Any, name: str) -> Thread:
        thread = Thread(self, target, args, name)
        thread.rank = self._random()
        thread.owner = self.current.owner if self.threads else ""
        self.threads.append(thread)
        self._runnable.append(thread)
        if len(self.threads) > 1:
            self.switch()
        return thread

    # The schedule

    def run(self, target: Callable[[], None]) -> None:
        """Run a function as the first thread, until it has ended. Raises Violation."""
        root = self.start_thread(target, name="root")
        try:
            while not root.is_done and self._violation is None:
                thread = self._next()
                self.current = thread
                thread.greenlet.switch()
            if self._violation is not None:
                raise self._violation
        finally:
            self.is_over = True
            left, self.threads = [thread for thread in self.threads if not thread.is_done], []
            for thread in left:
                thread.greenlet.throw()

    def violate(self, message: str) -> None:
        """End the simulation, whatever the code would make of an exception."""
        if self.is_over:
            return
        stack = "".join(traceback.format_stack(limit=12)[:-1])
        self._violation = Violation(f"{message}\nat {self.now_s:.4f} s, in '{self.current.name}':\n{stack}")
        self.hub.switch()

    def switch(self, has_released: bool = False) -> None:
        """Another thread may go on here."""
        if self.is_over:
            return
        self.steps += 1
        luck = self._random()
        if luck > 1 - (self._pace.freeze_released if has_released else self._pace.freeze):
            self.block("kept waiting", self._random() ** 3 * self._pace.freeze_s)
            return
        if luck < self._pace.stay:
            return
        self._runnable.append(self.current)
        if self._pace.reorder and luck < self._pace.stay + self._pace.reorder:
            self.current.rank = self._random()
        self._go_on()

    def block(self, why: str, seconds: float | None = None) -> bool:
        """Wait until woken up, or for so long; False where the time ran out."""
        if self.is_over:
            raise greenlet.GreenletExit
        self.steps += 1
        me = self.current
        me.waiting, me.timed_out = why, False
        me.ticket += 1
        if seconds is not None:
            heapq.heappush(self._timers, (self.now_s + max(seconds, 1e-9), next(self._number), me, me.ticket))
        self._go_on()
        return not me.timed_out

    def wake(self, thread: Thread) -> None:
        """Let a thread that is blocked go on."""
        thread.ticket += 1
        self._runnable.append(thread)

    def _go_on(self) -> None:
        me, thread = self.current, self._next()
        if thread is not me:
            self.current = thread
            thread.greenlet.switch()

    def _next(self) -> Thread:
        if self.steps > self._max_steps:
            self._stuck(f"no end after {self.steps} steps")
        runnable = self._runnable
        while not runnable or self._random() < self._pace.hurry:
            if not self._pass_time():
                break
        if not runnable:
            self._stuck("nobody can ever go on")
        if self._pace.reorder:
            index = max(range(len(runnable)), key=lambda which: runnable[which].rank)
        else:
            index = int(self._random() * len(runnable))
        runnable[index], runnable[-1] = runnable[-1], runnable[index]
        return runnable.pop()

    def _pass_time(self) -> bool:
        while self._timers:
            when_s, _, thread, ticket = heapq.heappop(self._timers)
            if ticket == thread.ticket:
                self.now_s = max(self.now_s, when_s)
                thread.timed_out = True
                self.wake(thread)
                return True
        return False

    def _stuck(self, message: str) -> None:
        lines = [message]
        for thread in self.threads:
            if not thread.is_done:
                frame = thread.greenlet.gr_frame if thread is not self.current else None
                stack = "".join(traceback.format_stack(frame, limit=14)) if frame else ""
                lines.append(f"'{thread.name}' of {thread.owner or 'nobody'} waits {thread.waiting}:\n{stack}")
        self.violate("\n".join(lines))


class VirtualCondition:
    """A lock, recursive or not, with a condition; as those of `threading`."""

    def __init__(self, clock: VirtualClock, is_recursive: bool) -> None:
        self.owner: Thread | None = None
        self._clock, self._is_recursive = clock, is_recursive
        self._depth = 0
        self._acquiring: list[Thread] = []
        self._waiting: list[Thread] = []

    def acquire(self, blocking: bool = True) -> bool:
        clock = self._clock
        if self.owner is clock.current and self._is_recursive:
            self._depth += 1
            return True
        clock.switch()
        while self.owner is not None:
            if not blocking:
                return False
            self._acquiring.append(clock.current)
            clock.block("for a lock")
        self.owner, self._depth = clock.current, 1
        return True

    def release(self) -> None:
        if self._clock.is_over:
            return
        if self.owner is None or (self._is_recursive and self.owner is not self._clock.current):
            raise RuntimeError("cannot release un-acquired lock")
        self._depth -= 1
        if not self._depth:
            self._let_go()
            self._clock.switch(has_released=True)

    def _let_go(self) -> None:
        self.owner = None
        if self._acquiring:
            self._clock.wake(self._acquiring.pop(0))

    def __enter__(self) -> VirtualCondition:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def wait(self, timeout: float | None = None) -> bool:
        clock, me = self._clock, self._clock.current
        if self.owner is not me:
            raise RuntimeError("cannot wait on un-acquired lock")
        depth = self._depth
        self._let_go()
        self._waiting.append(me)
        notified = clock.block("for a change", timeout)
        if not notified and me in self._waiting:
            self._waiting.remove(me)
        while self.owner is not None:
            self._acquiring.append(me)
            clock.block("for a lock")
        self.owner, self._depth = me, depth
        return notified

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        end_s = None if timeout is None else self._clock.now_s + timeout
        while not (result := predicate()):
            left_s = None if end_s is None else end_s - self._clock.now_s
            if left_s is not None and left_s <= 0:
                break
            self.wait(left_s)
        return result

    def notify_all(self) -> None:
        if self.owner is not self._clock.current and not self._clock.is_over:
            raise RuntimeError("cannot notify on un-acquired lock")
        waiting, self._waiting = self._waiting, []
        for thread in waiting:
            self._clock.wake(thread)
