"""The metrics of the models: counted here, published by `exporter`."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Family:
    """One metric: counters only grow, gauges are set."""

    kind: Literal["counter", "gauge"]
    help: str


# Histograms are published as the three counters that Prometheus makes of them: the server's own histogram type is
# newer than the servers that this has to run on, and PromQL reads both alike.
_TIMES = {
    "copy": "from Triton's tensors into the card's memory, a batch",
    "kernel": "a run, from its begin to its end",
    "total": "from a request's arrival in the model to its answer",
}
_TIME_LIMITS_S = tuple(m * 10.0**e for e in (-4, -3, -2, -1, 0) for m in (1, 2.5, 5))
_BATCH_LIMITS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

FAMILIES: Mapping[str, Family] = {
    "resnet50_images_total": Family("counter", "images that the card computed and that were answered"),
    "resnet50_batch_size_bucket": Family("counter", "runs of at most `le` images"),
    "resnet50_batch_size_sum": Family("counter", "images in all runs"),
    "resnet50_batch_size_count": Family("counter", "runs"),
    **{
        f"resnet50_{name}_seconds_{part}": Family("counter", f"{meaning}: {what}")
        for name, what in _TIMES.items()
        for part, meaning in (("bucket", "at most `le` s"), ("sum", "seconds"), ("count", "number"))
    },
    "resnet50_refused_total": Family("counter", "requests refused before they cost card time, by code"),
    "resnet50_decode_waiting_requests": Family("gauge", "requests that `preprocess` has taken and not begun to decode"),
    **{
        f"resnet50_decode_{name}seconds_{part}": Family("counter", f"{meaning}: {what}, a request")
        for name, what in {
            "wait_": "from its arrival in `preprocess` to its turn",
            "": "from there to its pixels",
        }.items()
        for part, meaning in (("sum", "seconds"), ("count", "number"))
    },
    "resnet50_reruns_total": Family("counter", "requests run again because their card failed"),
    "resnet50_poison_total": Family("counter", "requests that two cards failed on: no other card gets them"),
    "resnet50_failed_total": Family("counter", "requests answered UNAVAILABLE because their card failed"),
    "resnet50_card_state": Family("gauge", "1 for the state that the card is in"),
    "resnet50_cards_ready": Family("gauge", "cards that work, the standby not counted"),
    "resnet50_standby_ready": Family("gauge", "1 while there is a standby that works"),
    "resnet50_standby_active": Family("gauge", "1 while requests go to the standby, because no card works"),
    "resnet50_timeouts_total": Family("counter", "runs that missed their deadline"),
    "resnet50_recoveries_total": Family("counter", "failed cards that were made to work again"),
    "resnet50_recovery_seconds_total": Family("counter", "seconds from failures to recovery"),
    "resnet50_selftest_runs_total": Family("counter", "runs of the self-test"),
    "resnet50_selftest_mismatches_total": Family("counter", "runs of the self-test with wrong outputs"),
    "resnet50_cross_checks_total": Family("counter", "live batches computed once more in software"),
    "resnet50_cross_check_mismatches_total": Family("counter", "live batches that differed from software"),
    "resnet50_uptime_seconds_total": Family("counter", "seconds that the model's process lives; stops where it dies"),
    "resnet50_power_watts": Family("gauge", "the board's power by its sensors; the timing card's is the published one"),
    "resnet50_energy_joules_total": Family("counter", "the board's energy while the model was loaded, by its sensors"),
    "resnet50_temperature_celsius": Family("gauge", "the FPGA's temperature, where the card tells it"),
}

# What a card counts only when something is wrong or is checked. Published as 0 from the start on: Prometheus cannot see
# the first step of a counter that begins at 1, and an alert would miss the first wrong result.
_FROM_ZERO = (
    "resnet50_images_total",
    "resnet50_reruns_total",
    "resnet50_poison_total",
    "resnet50_failed_total",
    "resnet50_timeouts_total",
    "resnet50_recoveries_total",
    "resnet50_recovery_seconds_total",
    "resnet50_selftest_runs_total",
    "resnet50_selftest_mismatches_total",
    "resnet50_cross_checks_total",
    "resnet50_cross_check_mismatches_total",
)
_DECODE_TIMES = tuple(f"resnet50_decode_{name}seconds_{part}" for name in ("wait_", "") for part in ("sum", "count"))
_REFUSALS = ("INVALID_ARG", "UNAVAILABLE", "CANCELLED")


@dataclass(frozen=True)
class Completed:
    """What is counted of a batch."""

    images: int
    copy_s: float
    kernel_s: float
    totals_s: list[float]  # of each request, from its arrival to its answer


class Metrics:
    """Counts; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, Labels], float] = defaultdict(float)
        self._buckets: dict[tuple[str, Labels], tuple[tuple[float, ...], list[int]]] = {}

    def start_at_zero(self, card: str) -> None:
        """Begin the counters of a card, and of refusals."""
        for name in _FROM_ZERO:
            self.add(name, 0.0, card=card)
        self._start_refusals()

    def start_decoding_at_zero(self) -> None:
        """Begin the counters of `preprocess`."""
        for name in _DECODE_TIMES:
            self.add(name, 0.0)
        self._start_refusals()

    def _start_refusals(self) -> None:
        for code in _REFUSALS:
            self.add("resnet50_refused_total", 0.0, code=code)

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Count something."""
        with self._lock:
            self._values[name, _key(labels)] += value

    def set(self, name: str, value: float, **labels: str) -> None:
        """Note a gauge's value."""
        with self._lock:
            self._values[name, _key(labels)] = value

    def count(self, batch: Completed, card: str) -> None:
        """Count a batch that was answered."""
        self.add("resnet50_images_total", batch.images, card=card)
        labels = _key({"card": card})
        self._observe("resnet50_batch_size", _BATCH_LIMITS, batch.images, labels)
        self._observe("resnet50_copy_seconds", _TIME_LIMITS_S, batch.copy_s, labels)
        self._observe("resnet50_kernel_seconds", _TIME_LIMITS_S, batch.kernel_s, labels)
        for total_s in batch.totals_s:
            self._observe("resnet50_total_seconds", _TIME_LIMITS_S, total_s, labels)

    def _observe(self, name: str, limits: tuple[float, ...], value: float, labels: Labels) -> None:
        with self._lock:
            self._values[f"{name}_sum", labels] += value
            _, counts = self._buckets.setdefault((name, labels), (limits, [0] * (len(limits) + 1)))
            counts[bisect_left(limits, value)] += 1

    def value(self, name: str, **labels: str) -> float:
        """What a counter or gauge stands at."""
        with self._lock:
            return self._values.get((name, _key(labels)), 0.0)

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """Every metric's name, labels and value."""
        with self._lock:
            values = list(self._values.items())
            buckets = [(*key, limits, list(counts)) for key, (limits, counts) in self._buckets.items()]
        for (name, labels), value in values:
            yield name, labels, value
        for name, labels, limits, counts in buckets:
            for limit, count in zip((*(f"{x:g}" for x in limits), "+Inf"), accumulate(counts), strict=True):
                yield f"{name}_bucket", (*labels, ("le", limit)), count
            yield f"{name}_count", labels, sum(counts)


def _key(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
