"""How long a start takes on this card, by the number of images, and the deadline that follows."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from .kernel import Kernel

# A software card shares its CPU with others, and a virtual machine with strangers: neighbours may slow it several
# times. A hang is a hang after ten times the usual time too.
MARGIN = 10.0
FLOOR_S = 1.0
_LONG_S = 0.25  # from here on a second measurement would only delay the load
_BATCH = 8


@dataclass(frozen=True)
class LatencyModel:
    """A start of n images takes about `start_s + image_s * n`."""

    start_s: float
    image_s: float

    def expected_s(self, images: int) -> float:
        """What such a start takes when nothing disturbs it."""
        return self.start_s + self.image_s * images

    def deadline_s(self, images: int) -> float:
        """What such a start may take before the card counts as failed."""
        return max(FLOOR_S, MARGIN * self.expected_s(images))


def measure_latency(kernel: Kernel) -> LatencyModel:
    """Time starts of one image and of several; warms the card up, too."""
    images = min(_BATCH, kernel.max_batch)
    kernel.buffers[0].load(np.zeros((images, *kernel.buffers[0].host_pixels.shape[1:]), np.uint8))
    first_s = min(time_start(kernel, 1) for _ in range(2))
    if first_s > _LONG_S or images == 1:
        return LatencyModel(0.0, first_s)
    several_s = time_start(kernel, images)
    image_s = max(0.0, (several_s - first_s) / (images - 1))
    return LatencyModel(max(0.0, first_s - image_s), image_s)


def time_start(kernel: Kernel, images: int) -> float:
    """Seconds of one start on what is in the card's memory."""
    begin_s = time.monotonic()
    kernel.wait(kernel.start(kernel.buffers[0], images), kernel.timeout_s)
    return time.monotonic() - begin_s
