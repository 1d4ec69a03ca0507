"""Counts right and wrong answers, and computes the confidence interval of the accuracy."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet50_client.database import unpack
from resnet50_client.labels import GroundTruth, classes_of
from resnet50_client.prediction import Prediction

MISTAKES_KEPT = 48  # for the report
Z_95 = 1.959963984540054  # the 97.5 % point of the normal distribution: two-sided 95 %


def wilson_interval(hits: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Bound a proportion (E. B. Wilson, 1927).

    Unlike the plain normal interval it holds near 0, near 1 and for few trials.

    Args:
        hits: successes, 0 to `trials`.
        trials: how many were tried; 0 gives (0, 1), nothing is known.
        z: how many standard deviations wide, to each side.

    Returns:
        Lower and upper bound, within 0 and 1.
    """
    if trials == 0:
        return 0.0, 1.0
    share = hits / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # At the ends the bound is exactly 0 or 1; rounding must not say otherwise.
    return (0.0 if hits == 0 else centre - reach), (1.0 if hits == trials else centre + reach)


@dataclass(frozen=True)
class Proportion:
    """Hits of trials, with the Wilson 95 % interval."""

    hits: int
    trials: int

    @property
    def share(self) -> float:
        """Hits by trials; NaN if nothing was tried."""
        return self.hits / self.trials if self.trials else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound of the true share, 95 %."""
        return wilson_interval(self.hits, self.trials)


@dataclass(frozen=True)
class ScoredPrediction:
    """A prediction beside its label. `right` and `in_top5` are None where there is nothing to compare."""

    prediction: Prediction
    label: GroundTruth
    label_name: str | None = None  # of the first, if there are several

    @property
    def right(self) -> bool | None:
        """Whether the best class is the label, or one of several."""
        if self.label is None or self.prediction.error is not None:
            return None
        return self.prediction.class_ids[0] in classes_of(self.label)

    @property
    def in_top5(self) -> bool | None:
        """Whether one of the five best classes is the label, or one of several."""
        if self.label is None or self.prediction.error is not None:
            return None
        return not set(classes_of(self.label)).isdisjoint(self.prediction.class_ids[:5])

    @property
    def verdict(self) -> str:
        """One word: right, wrong, failed or unlabelled."""
        if self.prediction.error is not None:
            return "failed"
        if self.right is None:
            return "unlabelled"
        return "right" if self.right else "wrong"


@dataclass(frozen=True)
class ClassCount:
    """How often images of one class were scored and right."""

    name: str | None
    scored: int
    right: int


class Column(Sequence[Any]):
    """What a query finds, read when it is looked at: any number of rows, of which few are in memory."""

    def __init__(self, db: sqlite3.Connection, query: str) -> None:
        """Take a query of one column, whose entries are values, or of several, whose entries are tuples."""
        self._db = db
        self._query = query

    def __len__(self) -> int:
        return int(self._db.execute(f"SELECT COUNT(*) FROM ({self._query})").fetchone()[0])

    def __iter__(self) -> Iterator[Any]:
        for row in self._db.execute(self._query):
            yield unpack(row[0]) if len(row) == 1 else tuple(map(unpack, row))

    def __getitem__(self, index: Any) -> Any:
        return list(islice(self, *index.indices(len(self)))) if isinstance(index, slice) else list(self)[index]

    def numbers(self) -> npt.NDArray[np.float64]:
        """All of it as an array."""
        return np.fromiter((value for (value,) in self._db.execute(self._query)), np.float64, len(self))


class AccuracyCounts:
    """The figures of a run, read from its answers. Every image ends in exactly one of scored, failed and unlabelled."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Read what is recorded now.

        Args:
            db: of the run's `Results`.
        """
        self._db = db
        verdicts = dict(self._rows("SELECT verdict, COUNT(*) FROM answer GROUP BY verdict"))
        self.right = verdicts.get("right", 0)
        self.scored = self.right + verdicts.get("wrong", 0)
        self.in_top5 = int(self._rows("SELECT COUNT(*) FROM answer WHERE in_top5")[0][0])
        self.images = sum(verdicts.values())  # with any verdict
        self.answered = self.images - verdicts.get("failed", 0)  # that the server classified
        self.failed = self._column("file, error", "verdict = 'failed'", "position")
        self.unlabelled = self._column("file", "verdict = 'unlabelled'", "position")
        self.latencies_s = self._column("latency_s", "verdict <> 'failed'", "position")
        self.margins = {
            right: self._column("margin", f"verdict = '{verdict}' AND margin IS NOT NULL", "position")
            for right, verdict in ((True, "right"), (False, "wrong"))
        }
        origin = "SELECT {0}, COUNT(*) FROM answer WHERE error IS NULL AND {0} IS NOT NULL GROUP BY {0} ORDER BY {0}"
        self.cards: dict[str, int] = dict(self._rows(origin.format("card")))  # images by the card that ran them
        self.xclbins: dict[str, int] = dict(self._rows(origin.format("xclbin_uuid")))  # images by the xclbin's UUID

    def _rows(self, query: str) -> list[Any]:
        return self._db.execute(query).fetchall()

    def _column(self, columns: str, where: str, order: str) -> Column:
        return Column(self._db, f"SELECT {columns} FROM results WHERE {where} ORDER BY {order}")

    @property
    def confusion(self) -> dict[tuple[int, int], int]:
        """Wrong answers by label and answer."""
        rows = self._rows("SELECT label, class, COUNT(*) FROM results WHERE verdict = 'wrong' GROUP BY label, class")
        return {(label, answer): count for label, answer, count in rows}

    @property
    def mistakes(self) -> list[tuple[str, int, int, int | None]]:
        """File, label, answer and margin of wrong answers, the surest first, at most MISTAKES_KEPT."""
        found = self._column("file, label, class, margin", "verdict = 'wrong'", "margin DESC, position")
        return list(islice(found, MISTAKES_KEPT))

    @property
    def worst_classes(self) -> list[tuple[int, ClassCount]]:
        """Labels with their counts, the lowest accuracy first, of equal shares the more often seen."""
        rows = self._rows(
            "SELECT label, name, COUNT(*) AS scored, SUM(verdict = 'right') AS correct FROM results "
            "LEFT JOIN class ON class.id = label WHERE verdict IN ('right', 'wrong') "
            "GROUP BY label ORDER BY 1.0 * correct / scored, scored DESC, label"
        )
        return [(label, ClassCount(unpack(name), scored, right)) for label, name, scored, right in rows]

    @property
    def top1(self) -> Proportion:
        """Labelled and answered images whose best class is the label."""
        return Proportion(self.right, self.scored)

    @property
    def top5(self) -> Proportion:
        """Labelled and answered images whose label is among the five best classes."""
        return Proportion(self.in_top5, self.scored)
