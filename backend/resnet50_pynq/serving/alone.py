"""Whether requests come one at a time: then the model answers each before it takes the next.

An answer that `execute` returns reaches the caller about 0.4 ms before one through a response sender, which crosses
two more threads of Triton's. But while `execute` waits for the card, the next batch cannot be brought to it. So it
waits only where nobody is kept waiting: requests found the card idle several times in a row, and the one after each
took its time to come. A request that was queued comes at once when `execute` returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_STREAK = 4  # idle cards in a row before the first wait
_QUEUED_S = 150e-6  # a request that comes so soon after a return had been waiting; a client's next takes longer
_RETREAT = 100  # idle cards in a row after a request was kept waiting


class Alone:
    """Follows how requests come; see the module. For one thread.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._idle_to_go = _STREAK
        self._returned_s: float | None = None  # when the last answer was returned, where `execute` waited for it

    def should_wait(self, requests: int, card_is_idle: bool) -> bool:
        """Whether the requests that have just come are to be answered before `execute` returns."""
        if self._returned_s is not None and self._clock() - self._returned_s < _QUEUED_S:
            self._idle_to_go = _RETREAT
        elif not card_is_idle:
            self._idle_to_go = max(self._idle_to_go, _STREAK)
        else:
            self._idle_to_go = max(0, self._idle_to_go - 1)
        self._returned_s = None
        return not self._idle_to_go and requests == 1

    def returns(self) -> None:
        """Note that `execute` is about to return the answers that it waited for."""
        self._returned_s = self._clock()
