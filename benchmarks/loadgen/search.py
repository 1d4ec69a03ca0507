"""The highest rate at which a server meets its latency target. No I/O."""

from __future__ import annotations

from collections.abc import Callable

CONFIRMATIONS = 4
STEP_DOWN = 0.9


def highest_rate(passes: Callable[[float], bool], too_high: float, probes: int) -> float:
    """Halve the range between what passed and what did not.

    Args:
        passes: tries a rate above 0.
        too_high: a rate that is taken not to pass, without a try.
        probes: how many to try; the answer is within too_high / 2**probes.

    Returns:
        The highest rate that passed; 0 where none did.
    """
    low, high = 0.0, too_high
    for _ in range(probes):
        middle = (low + high) / 2
        if passes(middle):
            low = middle
        else:
            high = middle
    return low


def confirm(passes: Callable[[float], bool], rate: float) -> float:
    """Try a rate again, since it passed once among several tries; go down where it does not.

    Returns:
        The first rate that passed this time; 0 where none did, or where `rate` is 0.
    """
    for _ in range(CONFIRMATIONS if rate else 0):
        if passes(rate):
            return rate
        rate *= STEP_DOWN
    return 0.0
