"""How long a run takes on this card, and what follows: its deadline, and when the next batch is dispatched."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .kernel import Kernel

# A software card shares its CPU with others, and a virtual machine with strangers: neighbours may slow it several
# times. A hang is a hang after ten times the usual time too.
DEADLINE_FACTOR = 10.0
SHORTEST_DEADLINE_S = 1.0
LEAD_SHARE = 0.1  # of the run on the card, whose end is only expected
_SHORTEST_LEAD_S = 5e-4  # the card's thread wakes up, and the run goes through the driver
_LONG_S = 0.25  # from here on a second measurement would only delay the load
_BATCH_SIZE = 8


@dataclass(frozen=True)
class LatencyModel:
    """A run of n images takes about `run_s + image_s * n`."""

    run_s: float
    image_s: float

    def expected_s(self, batch_size: int) -> float:
        """What a run takes when nothing disturbs it."""
        return self.run_s + self.image_s * batch_size

    def deadline_s(self, batch_size: int) -> float:
        """What a run may take before the card counts as failed."""
        return max(SHORTEST_DEADLINE_S, DEADLINE_FACTOR * self.expected_s(batch_size))


def dispatch_lead_s(kernel_s: float) -> float:
    """How long before the end of a run of `kernel_s` the next batch is dispatched: until then it takes requests."""
    return max(_SHORTEST_LEAD_S, LEAD_SHARE * kernel_s)


def measure_latency(kernel: Kernel, timeout_s: float, now: Callable[[], float] = time.monotonic) -> LatencyModel:
    """Time runs of one image and of several on a card that does nothing else. Raises CardTimeout, CardError."""

    def time_run(batch_size: int) -> float:
        begin_s = now()
        kernel.wait(kernel.start(kernel.buffers[0], batch_size), timeout_s)
        return now() - begin_s

    batch_size = min(_BATCH_SIZE, kernel.batch_size)
    kernel.buffers[0].load(np.zeros((batch_size, *kernel.buffers[0].host_pixels.shape[1:]), np.uint8))
    one_s = min(time_run(1) for _ in range(2))  # the first one warms up
    if one_s > _LONG_S or batch_size == 1:
        return LatencyModel(0.0, one_s)
    several_s = time_run(batch_size)
    image_s = max(0.0, (several_s - one_s) / (batch_size - 1))
    return LatencyModel(max(0.0, one_s - image_s), image_s)
