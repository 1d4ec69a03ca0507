"""Which batches serve a latency target on this card: its batch curve t(b) measured, and the choice that follows.

An image of a full start may find another such start on the card, so the target holds while 2 t(b) is within it, plus
what the batch waits to fill. To wait longer than the fixed cost of a start cannot pay: that is all that company saves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cards import card_names
from ..errors import BadParameter
from ..runtime.kernel import Kernel
from ..runtime.latency import time_start
from ..standalone.shared import open_kernel
from ..weights import load_fc_weights
from .presets import Batching

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 80, 100, 128)
_STARTS = 3  # of each size; the shortest counts, because what else the machine does only adds
_ENOUGH = 0.98  # of the best rate: a smaller batch that reaches this is preferred, for its latency
_DELAY_STEP_S = 1e-4  # rounded down to this: less is below what a timer keeps
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Tuned:
    """What was measured (seconds by images in a start) and chosen for a target."""

    card: str
    target_s: float
    times_s: Mapping[int, float]
    batching: Batching

    def __str__(self) -> str:
        curve = ", ".join(f"{images}: {1e3 * time_s:.3g}" for images, time_s in self.times_s.items())
        text = f"{self.card} takes, in ms by images in a start: {curve}"
        if 2 * self.times_s[1] > self.target_s:
            text += (
                f"\n{1e3 * self.target_s:g} ms hold for one request at a time only: behind another image, one takes "
                f"{2e3 * self.times_s[1]:.3g} ms"
            )
        return text


def tune(xclbin: Path, fcweights: Path, cards: str, target_s: float) -> Tuned:
    """Measure a card, before the server has it, and choose; of several cards the first, taken to be like the others.

    Args:
        xclbin: the xclbin.
        fcweights: the FC weights.
        cards: as in the parameter `card`.
        target_s: from a request's arrival in Triton's queue to its answer; decoding and transport come on top.

    Raises:
        BadParameter: the card takes longer for one image alone.
        SetupError, CardError: the card cannot be used.
    """
    card = card_names(cards)[0]
    options = {"max_batch": SIZES[-1], "timeout_s": _TIMEOUT_S, "threads": 0}
    with open_kernel("serve --preset auto", xclbin, load_fc_weights(fcweights), card, **options) as kernel:
        times_s = measure(kernel, target_s)
    return Tuned(card, target_s, times_s, choose(times_s, target_s, card))


def measure(kernel: Kernel, target_s: float) -> dict[int, float]:
    """Seconds by images in a start, up to the first size that is too slow for the target."""
    kernel.buffers[0].load(np.zeros_like(kernel.buffers[0].host_pixels))
    time_start(kernel, 1)  # the first one warms up
    times_s: dict[int, float] = {}
    for images in SIZES:
        times_s[images] = min(time_start(kernel, images) for _ in range(_STARTS))
        if 2 * times_s[images] > target_s:
            break
    return times_s


def choose(times_s: Mapping[int, float], target_s: float, card: str) -> Batching:
    """The batching with the best rate that keeps the target; see the module. Raises BadParameter where none does."""
    if times_s[1] > target_s:
        raise BadParameter(
            f"a latency of {1e3 * target_s:g} ms was asked for, but card '{card}' takes {1e3 * times_s[1]:.3g} ms for "
            "one image alone; give a longer --latency-target-ms"
        )
    fitting = {images: time_s for images, time_s in times_s.items() if 2 * time_s <= target_s}
    if not fitting:
        return Batching(1, 0.0)
    best = max(images / time_s for images, time_s in fitting.items())
    images = min(images for images, time_s in fitting.items() if images / time_s >= _ENOUGH * best)
    if images == 1:
        return Batching(1, 0.0)
    _, start_s = np.polyfit(list(fitting), list(fitting.values()), 1)
    delay_s = min(float(start_s), target_s - 2 * fitting[images])
    return Batching(images, max(0.0, round(delay_s - _DELAY_STEP_S / 2, 4)))
