"""How long before the card needs it a batch is queued: late, because until then it takes more requests."""

from __future__ import annotations

_LEAST_S = 5e-4  # the card's thread wakes up, and the start goes through the driver
PART = 0.1  # of the start that runs, whose end is only expected


def ahead_s(kernel_s: float) -> float:
    """Before the end of a start that takes `kernel_s`."""
    return max(_LEAST_S, PART * kernel_s)
