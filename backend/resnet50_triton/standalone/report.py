"""The output of the application: the original's table, figures and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import BadParameter
from ..tensors import CLASSES
from .pipeline import Outcome
from .timestamps import DERIVED

_SHOWN_ROWS = 60  # of a longer table: the first and the last


@dataclass(frozen=True)
class Accuracy:
    """Counts of a run against its labels; a file that could not be classified is neither right nor wrong."""

    top1: int
    top5: int
    scored: int
    failed: int
    unlabelled: int

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], labels: dict[str, int]) -> Accuracy:
        """Compare with the labels, by the file's name without its folders."""
        named = [(outcome, labels.get(outcome.path.name)) for outcome in outcomes if not outcome.error]
        scored = [(outcome.classes, label) for outcome, label in named if label is not None]
        return cls(
            top1=sum(classes[0] == label for classes, label in scored),
            top5=sum(label in classes for classes, label in scored),
            scored=len(scored),
            failed=len(outcomes) - len(named),
            unlabelled=len(named) - len(scored),
        )

    def __str__(self) -> str:
        rest = f"{self.failed} failed, {self.unlabelled} without a label"
        if not self.scored:
            return f"Accuracy: no image that was classified has a label ({rest})"
        return (
            f"Top-1 Accuracy: {self.top1 / self.scored}\n"
            f"Top-5 Accuracy: {self.top5 / self.scored}\n"
            f"Accuracy is over {self.scored} images ({rest})"
        )


def read_labels(path: Path) -> dict[str, int]:
    """Read true classes, `<filename> <class id>` a line, the name without its folders.

    Raises:
        BadParameter: naming the line that is wrong, or what keeps the file from being read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadParameter(f"--labels {path}: cannot be read ({error})") from error
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        name = name.rstrip()
        if not name or not label.isdecimal() or int(label) >= CLASSES:
            raise BadParameter(
                f"--labels {path}: line {number} is '{line[:60]}', expected '<filename> <class id, 0..{CLASSES - 1}>'"
            )
        if labels.setdefault(name, int(label)) != int(label):
            raise BadParameter(f"--labels {path}: line {number} gives {name} another class than a line before")
    return labels


def table(outcomes: Sequence[Outcome], profile: bool, class_names: Sequence[str] | None = None) -> Any:
    """A pandas DataFrame with the original's columns, and perhaps the best class's name; of a failed file its name."""
    rows: list[dict[str, object]] = []
    for outcome in outcomes:
        row: dict[str, object] = {"File Name": str(outcome.path), "Prediction": ""}
        if not outcome.error:
            row["Prediction"] = f"[{' '.join(map(str, outcome.classes))}]"
            row.update({"Class Name": class_names[outcome.classes[0]]} if class_names else {})
            row.update(outcome.timestamps.row() if profile else {})
        rows.append(row)
    return pd.DataFrame(rows)


def table_as_text(results: Any) -> str:
    """The table for the screen."""
    return str(results.to_string(max_rows=_SHOWN_ROWS))


def times_as_text(results: Any) -> str:
    """Count, mean, spread and quartiles of each time, in seconds."""
    if not set(DERIVED) <= set(results.columns):
        return "no image was classified: there are no times"
    return str(results[list(DERIVED)].describe().to_string())
