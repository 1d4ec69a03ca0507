"""What an operator sees of a fleet under load: a line that lives, and JSON with all figures."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from balancer import BalancerError

if TYPE_CHECKING:
    from fleet import Fleet

LIVE_S = 0.5
RATE_S = 2.0  # the rate on the screen is that of the last seconds


@dataclass
class Phase:
    """A part of the run."""

    title: str
    start_s: float  # time.time(), as all below
    end_s: float = 0.0
    notes: dict[str, float] = field(default_factory=dict)  # what was measured on the way
    resent: dict[str, int] = field(default_factory=dict)  # by client
    figures: dict[str, Any] = field(default_factory=dict)  # filled in by `summary`


class Screen:
    """Tells what happens: on a terminal with a line that is written over, in a file with a line for each phase."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self._start_s = time.monotonic()
        self._is_terminal = sys.stdout.isatty()

    def say(self, text: str) -> None:
        """A line that stays."""
        wipe = "\r\033[K" if self._is_terminal else ""
        print(f"{wipe}{time.monotonic() - self._start_s:7.1f} s  {text}", flush=True)

    @contextlib.contextmanager
    def phase(self, title: str, fleet: Fleet) -> Iterator[Phase]:
        """Tell of a phase while it lasts, and how it went."""
        phase = Phase(title, time.time())
        before = {traffic.name: traffic.resent.total() for traffic in fleet.traffics}
        ended = threading.Event()
        live = threading.Thread(target=self._live, args=(title, fleet, ended))
        if self._is_terminal:
            live.start()
        else:
            self.say(f"{title} ...")
        try:
            yield phase
        finally:
            ended.set()
            if self._is_terminal:
                live.join()
        phase.end_s = time.time()
        phase.resent = {traffic.name: traffic.resent.total() - before[traffic.name] for traffic in fleet.traffics}
        self.phases.append(phase)
        notes = "".join(f", {name.removesuffix('_s')} {value:.1f} s" for name, value in _seconds(phase.notes))
        self.say(f"{title}: {_rate(fleet, phase.end_s - phase.start_s):.0f} images/s{notes}{_outcome(fleet)}")

    def _live(self, title: str, fleet: Fleet, ended: threading.Event) -> None:
        while not ended.wait(LIVE_S):
            try:
                states = "  ".join(
                    f"{name} {s.status} {s.in_flight}" for name, s in fleet.balancers[0].states().items()
                )
            except BalancerError as error:
                states = str(error)
            seconds = time.monotonic() - self._start_s
            line = f"{seconds:7.1f} s  {title}: {_rate(fleet, RATE_S):.0f} images/s{_outcome(fleet)} | {states}"
            print(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)


def summary(fleet: Fleet, phases: Sequence[Phase], accuracy: Mapping[str, Any] | None) -> dict[str, Any]:
    """All figures, for the JSON file; completes those of the phases. Call when no request is in flight.

    Args:
        fleet: with its clients ended.
        phases: of the run.
        accuracy: what `resnet50-client accuracy` found in the end, if it was run.
    """
    names = {uuid: name for name, uuid in fleet.uuids.items()}
    for phase in phases:
        events = {
            traffic.name: [e for e in traffic.events if phase.start_s <= e.time_s < phase.end_s]
            for traffic in fleet.traffics
        }
        every = [event for some in events.values() for event in some]
        latencies_s = np.array([event.latency_s for event in every] or [np.nan])
        seconds = phase.end_s - phase.start_s
        phase.figures = {
            "seconds": round(seconds, 2),
            "images_per_s": {name: round(len(some) / seconds, 1) for name, some in events.items()},
            "images_per_s_in_all": round(len(every) / seconds, 1),
            "longest_gap_s": round(_longest_gap(phase, [event.time_s for event in every]), 3),
            "latency_s": {f"p{p}": round(float(np.percentile(latencies_s, p)), 4) for p in (50, 99, 100)},
            "answered_by_xclbin": dict(Counter(names.get(event.xclbin, event.xclbin) for event in every)),
            "sent_again": phase.resent,
            "wrong": sum(not event.is_right for event in every),
            **{name: round(value, 2) for name, value in phase.notes.items()},
        }
    sent = sum(traffic.sent for traffic in fleet.traffics)
    answered = sum(len(traffic.events) for traffic in fleet.traffics)
    return {
        "replicas": len(fleet.replicas),
        "xclbins": fleet.uuids,
        "sent": sent,
        "answered": answered,
        "lost": sent - answered,
        "wrong": sum(traffic.wrong for traffic in fleet.traffics),
        "failures": dict(Counter(reason for traffic in fleet.traffics for reason in traffic.failed)),
        "sent_again": {traffic.name: dict(traffic.resent) for traffic in fleet.traffics},
        "phases": {phase.title: phase.figures for phase in phases},
        "accuracy": accuracy,
    }


def _longest_gap(phase: Phase, times_s: Sequence[float]) -> float:
    """The longest time without any answer."""
    return float(np.diff(sorted([phase.start_s, *times_s, phase.end_s])).max())


def _seconds(notes: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(name, value) for name, value in notes.items() if name.endswith("_s")]


def _rate(fleet: Fleet, seconds: float) -> float:
    since = time.time() - seconds
    return sum(event.time_s >= since for traffic in fleet.traffics for event in list(traffic.events)) / seconds


def _outcome(fleet: Fleet) -> str:
    again = "+".join(str(traffic.resent.total()) for traffic in fleet.traffics)
    lost, wrong = (sum(getattr(traffic, name) for traffic in fleet.traffics) for name in ("lost", "wrong"))
    return f" | sent again {again} | lost {lost} wrong {wrong}"
