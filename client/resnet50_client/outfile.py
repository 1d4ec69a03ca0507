"""Write one line for each image to a CSV or JSON Lines file, and the same values as JSON on screen."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from resnet50_client.accuracy import Judged
from resnet50_client.errors import DatasetError

COLUMNS = (
    "file",
    "label",
    "label_name",
    "class",
    "name",
    "score",
    "margin",
    "top",
    "verdict",
    "in_top5",
    "error",
    "latency_s",
)


def as_json(judged: Judged) -> dict[str, Any]:
    """Everything known about one image as a JSON object; the label and what follows from it only if there is one."""
    prediction = judged.prediction
    ranked = [{"class": c.class_id, "name": c.name, "score": c.score} for c in prediction.top]
    answer: dict[str, Any] = {
        "file": prediction.source,
        "top": ranked,
        "margin": prediction.margin,
        "error": prediction.error,
        "latency_s": round(prediction.latency_s, 6),
    }
    if judged.label is not None:
        answer |= {
            "label": judged.label,
            "label_name": judged.label_name,
            "verdict": judged.verdict,
            "in_top5": judged.in_top5,
        }
    return answer


class OutFile:
    """A results file that grows while the run goes on; the suffix chooses the format."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            DatasetError: a suffix other than .csv and .jsonl, or a place that cannot be written.
        """
        if path.suffix not in {".csv", ".jsonl"}:
            raise DatasetError(f"output file '{path}' must end in .csv or .jsonl, which chooses its format")
        try:
            self._file: TextIO = path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise DatasetError(f"cannot write '{path}': {error.strerror}") from error
        self._csv = csv.writer(self._file) if path.suffix == ".csv" else None
        if self._csv:
            self._csv.writerow(COLUMNS)

    def __enter__(self) -> OutFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, judged: Judged) -> None:
        """Append one image."""
        if self._csv:
            self._csv.writerow(_as_row(judged))
        else:
            self._file.write(json.dumps(as_json(judged)) + "\n")


def _as_row(judged: Judged) -> list[object]:
    prediction = judged.prediction
    best = prediction.top[0] if prediction.top else None
    return [
        prediction.source,
        judged.label,
        judged.label_name,
        best.class_id if best else None,
        best.name if best else None,
        best.score if best else None,
        prediction.margin,
        " ".join(map(str, prediction.class_ids)),
        judged.verdict,
        judged.in_top5,
        prediction.error,
        round(prediction.latency_s, 6),
    ]
