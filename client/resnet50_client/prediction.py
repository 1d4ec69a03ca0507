"""What the server answered about one image, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Candidate:
    """One ranked class. `score` is the accelerator's integer accumulator (a logit, not a probability)."""

    class_id: int
    name: str | None = None
    score: int | None = None  # None where the xclbin answers ids only


@dataclass(frozen=True)
class Times:
    """When the client did what with one image, in nanoseconds of Unix time."""

    start_ns: int  # its turn has come: reading begins
    sent_ns: int  # read, with --pixels decoded, and handed over
    answered_ns: int
    slot: int  # which of the window's places it had


@dataclass(frozen=True)
class Prediction:
    """The answer for one image: ranked classes, or the error that this image alone met."""

    source: str
    top: tuple[Candidate, ...] = ()  # best first; empty if `error` is set
    margin: int | None = None  # score of the best class minus that of the runner-up
    error: str | None = None
    latency_s: float = 0.0  # from sending the request to its answer, with retries
    server: str | None = None  # URL of the one that answered
    provenance: Mapping[str, Any] | None = None  # card, image UUID, versions, times on the card; if the server says
    times: Times | None = None

    @property
    def class_ids(self) -> tuple[int, ...]:
        """Ids of the ranked classes, best first."""
        return tuple(candidate.class_id for candidate in self.top)


def rank_logits(logits: npt.NDArray[np.float32], count: int, names: Mapping[int, str]) -> tuple[Candidate, ...]:
    """Rank classes as the accelerator does: the higher score first, between equal scores the lower id.

    Args:
        logits: float32 (classes,), integers in floating point.
        count: how many classes to return.
        names: class names by id; ids without one get None.
    """
    order = np.argsort(-logits, kind="stable")[:count]
    return tuple(Candidate(int(i), names.get(int(i)), int(logits[i])) for i in order)
