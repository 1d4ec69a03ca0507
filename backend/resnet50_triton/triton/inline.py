"""Decides which requests are run inline: `execute` answers them before it returns.

An answer that `execute` returns reaches the caller about 0.4 ms before one through a response sender, which crosses two
more threads of Triton's. But while `execute` waits for the card, the next batch cannot be brought to it, and whether
one is there `execute` cannot tell. So now and then it does not wait, and looks: if the next request comes before the
card is idle again, there are several at a time.
"""

from __future__ import annotations

_PROBE = 8  # this many requests in a row must find the card idle first; later, one in as many is not run inline


class InlineRuns:
    """Follows how requests come; see the module. For one thread."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def is_due(self, requests: int, card_is_idle: bool) -> bool:
        """Whether the requests that have just arrived are answered before `execute` returns."""
        if requests > 1 or not card_is_idle:
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        return self._in_a_row > _PROBE and self._in_a_row % _PROBE != 0
