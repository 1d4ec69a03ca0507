"""Count right and wrong answers, and say how far the figures can be trusted."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass, field

from resnet50_client.ondisk import DiskList
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
class Judged:
    """A prediction beside its label. `right` and `in_top5` are None where there is nothing to compare."""

    prediction: Prediction
    label: int | None
    label_name: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether the best class is the label."""
        if self.label is None or self.prediction.error is not None:
            return None
        return self.prediction.class_ids[0] == self.label

    @property
    def in_top5(self) -> bool | None:
        """Whether one of the five best classes is the label."""
        if self.label is None or self.prediction.error is not None:
            return None
        return self.label in self.prediction.class_ids[:5]

    @property
    def verdict(self) -> str:
        """One word: right, wrong, failed or unlabelled."""
        if self.prediction.error is not None:
            return "failed"
        if self.right is None:
            return "unlabelled"
        return "right" if self.right else "wrong"


@dataclass
class ClassCount:
    """How often images of one class were scored and right."""

    name: str | None
    scored: int = 0
    right: int = 0


@dataclass
class Tally:
    """Running counts of an accuracy run. Every image ends in exactly one of scored, failed and unlabelled.

    In memory are the counts, for each class and pair of classes too; what is kept of each image is on disk.
    """

    scored: int = 0
    right: int = 0
    in_top5: int = 0
    failed: DiskList = field(default_factory=lambda: DiskList(columns=2))  # (file, error)
    unlabelled: DiskList = field(default_factory=DiskList)  # files
    by_class: dict[int, ClassCount] = field(default_factory=dict)  # by label
    confusion: Counter[tuple[int, int]] = field(default_factory=Counter)  # (label, answer) of the wrong ones
    margins: dict[bool, DiskList] = field(default_factory=lambda: {True: DiskList(), False: DiskList()})
    latencies_s: DiskList = field(default_factory=DiskList)
    cards: Counter[str] = field(default_factory=Counter)  # images by the card that says it ran them
    xclbins: Counter[str] = field(default_factory=Counter)  # images by the UUID of the card's xclbin
    versions: set[str] = field(default_factory=set)
    _surest: list[tuple[float, int, Judged]] = field(default_factory=list)  # a heap, least sure first

    def add(self, judged: Judged) -> None:
        """Count one image. A failed image counts as failed, labelled or not."""
        prediction, label = judged.prediction, judged.label
        if prediction.error is not None:
            self.failed.append((prediction.source, prediction.error))
            return
        self._note_origin(prediction)
        if label is None:
            self.unlabelled.append(prediction.source)
            return
        right = judged.right is True
        self.scored += 1
        self.right += right
        self.in_top5 += judged.in_top5 is True
        count = self.by_class.setdefault(label, ClassCount(judged.label_name))
        count.scored += 1
        count.right += right
        if prediction.margin is not None:
            self.margins[right].append(prediction.margin)
        if not right:
            self.confusion[label, prediction.class_ids[0]] += 1
            heapq.heappush(self._surest, (prediction.margin or 0, -self.scored, judged))
            if len(self._surest) > MISTAKES_KEPT:
                heapq.heappop(self._surest)

    def _note_origin(self, prediction: Prediction) -> None:
        self.latencies_s.append(prediction.latency_s)
        origin = prediction.provenance or {}
        if "card" in origin:
            self.cards[str(origin["card"])] += 1
        if "xclbin_uuid" in origin:
            self.xclbins[str(origin["xclbin_uuid"])] += 1
        if "version" in origin:
            self.versions.add(str(origin["version"]))

    @property
    def mistakes(self) -> list[Judged]:
        """Wrong answers, the surest first (of equal margin the earlier), at most MISTAKES_KEPT."""
        return [judged for _, _, judged in sorted(self._surest, key=lambda entry: entry[:2], reverse=True)]

    @property
    def worst_classes(self) -> list[tuple[int, ClassCount]]:
        """Labels with their counts, the lowest share of right answers first, of equal shares the more often seen."""
        return sorted(
            self.by_class.items(), key=lambda item: (item[1].right / item[1].scored, -item[1].scored, item[0])
        )

    @property
    def images(self) -> int:
        """Images that came out of the run, one way or another."""
        return self.scored + len(self.failed) + len(self.unlabelled)

    @property
    def answered(self) -> int:
        """Images that the server classified."""
        return self.scored + len(self.unlabelled)

    @property
    def top1(self) -> Proportion:
        """Labelled and answered images whose best class is the label."""
        return Proportion(self.right, self.scored)

    @property
    def top5(self) -> Proportion:
        """Labelled and answered images whose label is among the five best classes."""
        return Proportion(self.in_top5, self.scored)
