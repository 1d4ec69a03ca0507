"""Compares two runs over the same images: the answers that differ, and whether the difference is significant."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from resnet50_client.accuracy import Z_95, Column, Proportion
from resnet50_client.errors import DatasetError
from resnet50_client.results import Results

SCORED = "verdict IN ('right', 'wrong')"


def mcnemar_p(only_a: int, only_b: int) -> float:
    """The exact McNemar test: how likely it is, if neither run is better, that they differ by so much or more.

    Args:
        only_a: images that only the first run has right.
        only_b: images that only the second has right.

    Returns:
        The two-sided p-value: that of `only_a + only_b` throws of a coin with so few heads, or so few tails.
    """
    count, fewer = only_a + only_b, min(only_a, only_b)
    logs = (math.lgamma(count + 1) - math.lgamma(i + 1) - math.lgamma(count - i + 1) for i in range(fewer + 1))
    return min(1.0, 2 * math.fsum(math.exp(log - count * math.log(2)) for log in logs))


def paired_interval(only_a: int, only_b: int, images: int, z: float = Z_95) -> tuple[float, float]:
    """Bound the difference of two proportions over the same images, second less first (A. Agresti and Y. Min, 2005).

    It is Wald's interval with half an image added to each cell of the table, so that it holds for few images too.

    Args:
        only_a: images that only the first run has right.
        only_b: images that only the second has right.
        images: that both have scored.
        z: how many standard deviations wide, to each side.

    Returns:
        Lower and upper bound, within -1 and 1.
    """
    a, b, n = only_a + 0.5, only_b + 0.5, images + 2
    centre = (b - a) / n
    reach = z * math.sqrt(a + b - (b - a) ** 2 / n) / n
    return max(-1.0, centre - reach), min(1.0, centre + reach)


class Change(NamedTuple):
    """An image to which two runs give different answers."""

    file: str
    label: int
    before: int  # the answer of the first run
    after: int


class Comparison:
    """What two runs, a and b, have in common and in what they differ."""

    def __init__(self, a: Results, b: Results) -> None:
        """Join the runs by the names of their images.

        Raises:
            DatasetError: no image is scored in both, or one has different labels in them.
        """
        self._db = a.db
        a.db.execute("CREATE TEMP TABLE other (file PRIMARY KEY, labels, class, verdict)")
        rows = b.db.execute(f"SELECT file, labels, class, verdict FROM results WHERE {SCORED}")
        a.db.executemany("INSERT OR REPLACE INTO other VALUES (?, ?, ?, ?)", rows)
        a.db.execute(
            "CREATE TEMP TABLE paired AS SELECT results.file AS file, results.label AS label, results.class AS before, "
            "other.class AS after, results.verdict = 'right' AS was, other.verdict = 'right' AS becomes, "
            "results.labels AS labels, other.labels AS labels_of_b FROM results JOIN other USING (file) "
            f"WHERE results.{SCORED} ORDER BY results.position"
        )
        differing = self._one("SELECT file, labels, labels_of_b FROM paired WHERE labels <> labels_of_b LIMIT 1")
        if differing:
            raise DatasetError(
                f"'{differing[0]}' has the label {differing[1]} in '{a.path}' but {differing[2]} in '{b.path}': "
                "compare runs with the same ground truth"
            )
        counts = self._one(
            "SELECT COUNT(*), SUM(was), SUM(becomes), SUM(was > becomes), SUM(was < becomes), SUM(before = after) "
            "FROM paired"
        )
        self.scored = tuple(
            run.db.execute(f"SELECT COUNT(*) FROM results WHERE {SCORED}").fetchone()[0] for run in (a, b)
        )
        self.images, right_a, right_b, self.lost, self.gained, self.equal = (int(count or 0) for count in counts)
        if not self.images:
            raise DatasetError(f"'{a.path}' and '{b.path}' have no scored image in common: is it the same data set?")
        self.a, self.b = Proportion(right_a, self.images), Proportion(right_b, self.images)

    @property
    def difference(self) -> float:
        """Top-1 of b less that of a."""
        return self.b.share - self.a.share

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bounds of the difference."""
        return paired_interval(self.lost, self.gained, self.images)

    @property
    def p_value(self) -> float:
        """Of McNemar's exact test."""
        return mcnemar_p(self.lost, self.gained)

    def changes(self, *, was: bool, becomes: bool) -> list[Change]:
        """The images that a has right or not and b has right or not, with different answers, in order."""
        where = f"was = {was:d} AND becomes = {becomes:d} AND before <> after"
        return [
            Change(*row) for row in Column(self._db, f"SELECT file, label, before, after FROM paired WHERE {where}")
        ]

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchone()
