"""One image as JSON and back, and the results file: CSV or JSON Lines, a line for each image."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from resnet50_client.accuracy import Judged
from resnet50_client.errors import DatasetError
from resnet50_client.prediction import Candidate, Prediction, Times
from resnet50_client.profile import CARD_TIMES, DERIVED, card_times, derive

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
    "server",
    "card",
    "xclbin_uuid",
    "version",
)
ORIGIN = ("card", "xclbin_uuid", "version")  # of the columns, those that the server says with each answer
TIMES = ("start_ns", *CARD_TIMES)  # the seven timestamps of the original


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
        "server": prediction.server,
        "provenance": prediction.provenance,
        "times": asdict(prediction.times) if prediction.times else None,
    }
    if judged.label is not None:
        answer |= {
            "label": judged.label,
            "label_name": judged.label_name,
            "verdict": judged.verdict,
            "in_top5": judged.in_top5,
        }
    return answer


def from_json(answer: Mapping[str, Any]) -> Judged:
    """What `as_json` made an object of."""
    prediction = Prediction(
        source=answer["file"],
        top=tuple(Candidate(c["class"], c["name"], c["score"]) for c in answer["top"]),
        margin=answer["margin"],
        error=answer["error"],
        latency_s=answer["latency_s"],
        server=answer["server"],
        provenance=answer["provenance"],
        times=Times(**answer["times"]) if answer["times"] else None,
    )
    return Judged(prediction, answer.get("label"), answer.get("label_name"))


class OutFile:
    """A results file that grows while the run goes on; the suffix chooses the format."""

    def __init__(self, path: Path, *, profile: bool = False) -> None:
        """Create the file.

        Args:
            path: ends in .csv or .jsonl.
            profile: add the timestamps and the times derived from them to a CSV.

        Raises:
            DatasetError: another suffix, or a place that cannot be written.
        """
        if path.suffix not in {".csv", ".jsonl"}:
            raise DatasetError(f"output file '{path}' must end in .csv or .jsonl, which chooses its format")
        try:
            self._file: TextIO = path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise DatasetError(f"cannot write '{path}': {error.strerror}") from error
        self._csv = csv.writer(self._file) if path.suffix == ".csv" else None
        self._profile = profile
        if self._csv:
            derived = [f"{name}_s" for name in DERIVED]
            self._csv.writerow([*COLUMNS, *TIMES, *derived] if profile else COLUMNS)

    def __enter__(self) -> OutFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, judged: Judged) -> None:
        """Append one image."""
        if self._csv:
            self._csv.writerow(_as_row(judged) + (_times_row(judged.prediction) if self._profile else []))
        else:
            answer = as_json(judged)
            if self._profile:
                answer["derived_s"] = derive(judged.prediction)
            self._file.write(json.dumps(answer) + "\n")


def _as_row(judged: Judged) -> list[object]:
    prediction = judged.prediction
    best = prediction.top[0] if prediction.top else None
    origin = prediction.provenance or {}
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
        prediction.server,
        *(origin.get(name) for name in ORIGIN),
    ]


def _times_row(prediction: Prediction) -> list[object]:
    start_ns = prediction.times.start_ns if prediction.times else None
    at, derived = card_times(prediction) or {}, derive(prediction)
    return [start_ns, *(at.get(name) for name in CARD_TIMES), *(derived.get(name) for name in DERIVED)]
