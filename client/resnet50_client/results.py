"""A run in one SQLite file: its settings, every answer as it arrives, and the figures computed from them."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, fields
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from resnet50_client.accuracy import ScoredPrediction
from resnet50_client.database import CHUNK, close_run, open_notes, open_run, pack, unpack
from resnet50_client.errors import DatasetError
from resnet50_client.labels import GroundTruth, classes_of, pack_label, unpack_label
from resnet50_client.prediction import Candidate, Prediction, Provenance, Times
from resnet50_client.profile import CARD_TIMES, DERIVED, card_times, derive

TIMES = [field.name for field in fields(Times)]
PROVENANCE = [field.name for field in fields(Provenance)]
ANSWER = ("position", "verdict", "class", "score", "margin", "top", "in_top5", "error", "latency_s", "server")
ANSWER_COLUMNS = [*ANSWER, "xclbin_uuid", *TIMES, *PROVENANCE]
STORED = [
    *ANSWER_COLUMNS,
    "logits",
]  # float32 (1000,) as bytes, where they are kept; last, so that no one else reads them
SCHEMA = f"""
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE class (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE image (position INTEGER PRIMARY KEY, file TEXT, labels INTEGER);
CREATE TABLE answer (position INTEGER PRIMARY KEY, {", ".join(STORED[1:])});
CREATE VIEW results AS SELECT image.file, CAST(image.labels AS INTEGER) AS label, image.labels,
    {", ".join(f"answer.{name}" for name in ANSWER_COLUMNS)} FROM image LEFT JOIN answer USING (position)
    ORDER BY image.position
"""
SUFFIX = ".sqlite"
EXPORTS = (".csv", ".jsonl")
COLUMNS = ("file", "label", "label_name", "class", "name", "score", "margin", "top", "verdict", "in_top5", "error",
           "latency_s", "server", "card", "xclbin_uuid")  # fmt: skip
PROFILE_COLUMNS = ("start_ns", *CARD_TIMES, *(f"{name}_s" for name in DERIVED))  # first the original's seven timestamps


class Results:
    """The images of a run and their answers. A context manager; for one thread at a time."""

    def __init__(self, path: Path | None = None) -> None:
        """Open a run.

        Args:
            path: of its file, which no other process has meanwhile; None keeps it nowhere.

        Raises:
            DatasetError: another process has it, it is no run, or it cannot be written.
        """
        self.path = path
        self.db = open_run(path, SCHEMA) if path else open_notes(SCHEMA)
        self.names: dict[int, str] = {i: unpack(name) for i, name in self.db.execute("SELECT id, name FROM class")}
        self._shard = (0, 1)  # which of how many parts of the images
        self._top_insert = f"INSERT INTO answer VALUES ({', '.join('?' * len(STORED))})"

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_run(self.db)

    @property
    def images(self) -> int:
        """How many images are to be asked for: all, or those of the shard."""
        index, count = self._shard
        query = "SELECT COUNT(*) FROM image WHERE position % ? = ?"
        return int(self.db.execute(query, (count, index)).fetchone()[0])

    @property
    def recorded(self) -> int:
        """How many of them have an answer."""
        return int(self.db.execute("SELECT COUNT(*) FROM answer").fetchone()[0])

    def begin(
        self,
        images: Iterable[tuple[str, GroundTruth]],
        about: Mapping[str, Any],
        *,
        resume: bool,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        """Note what is to be asked, or see that it is the same.

        Args:
            images: name and label of each.
            about: what makes runs comparable, such as the model, as JSON.
            resume: keep the answers that are there.
            shard: to ask only for each so many-th image: from which on, and how many.

        Raises:
            DatasetError: there is an unfinished run and `resume` is not set, or one about something else.
        """
        self._shard = shard
        about = {**about, "shard": f"{shard[0] + 1}/{shard[1]}"}
        known, recorded = self.images, self.recorded
        if recorded and recorded < known and not resume:
            raise DatasetError(
                f"'{self.path}' is a run that was cut short after {recorded} of {known} images: "
                "go on with --resume, or delete it to start again"
            )
        self.db.execute("BEGIN")
        self.db.execute("CREATE TEMP TABLE asked (position INTEGER PRIMARY KEY, file, labels)")
        rows = ((i, pack(name), pack_label(label)) for i, (name, label) in enumerate(images))
        self.db.executemany("INSERT INTO asked VALUES (?, ?, ?)", rows)
        try:
            if resume and recorded:
                self._compare(about)
            else:
                for table in ("answer", "image", "class"):
                    self.db.execute(f"DELETE FROM {table}")
                self.names = {}
                self.db.execute("INSERT INTO image SELECT * FROM asked")
                values = [(name, json.dumps(value)) for name, value in about.items()]
                self.db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values)
            self.db.execute("DROP TABLE asked")
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise

    def _compare(self, about: Mapping[str, Any]) -> None:
        found = self.about
        for name, value in about.items():
            if found.get(name) != json.loads(json.dumps(value)):
                then, now = in_words(found.get(name)), in_words(value)
                raise DatasetError(
                    f"'{self.path}' is another run: its {name.replace('_', ' ')} is {then}, now it is {now} "
                    "(give the same options, or another --outfile)"
                )
        differing = self.db.execute(
            "SELECT before.file, before.labels, now.file, now.labels "
            "FROM (SELECT position FROM image UNION SELECT position FROM asked) "
            "LEFT JOIN image AS before USING (position) LEFT JOIN asked AS now USING (position) "
            "WHERE before.file IS NOT now.file OR before.labels IS NOT now.labels ORDER BY position LIMIT 1"
        ).fetchone()
        if differing:
            then, now = (f"'{unpack(file)}' with the label {label}" for file, label in (differing[:2], differing[2:]))
            raise DatasetError(
                f"'{self.path}' is another run: it has {then} where now there is {now} "
                "(give the same images and labels, or another --outfile)"
            )

    @property
    def about(self) -> dict[str, Any]:
        """What was noted of the run as a whole."""
        return {name: json.loads(value) for name, value in self.db.execute("SELECT name, value FROM about")}

    def asked(self) -> Iterator[tuple[str, GroundTruth]]:
        """Name and label of each image, those of other shards too."""
        for name, label in self.db.execute("SELECT file, labels FROM image ORDER BY position"):
            yield unpack(name), unpack_label(label)

    def note(self, **about: Any) -> None:
        """Note more of it, as JSON."""
        values = [(name, json.dumps(value)) for name, value in about.items()]
        self.db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values)

    def name_classes(self, names: Mapping[int, str]) -> None:
        """Note the names of the classes."""
        self.names = dict(names)
        self.db.execute("BEGIN")
        self.db.executemany("INSERT OR REPLACE INTO class VALUES (?, ?)", ((i, pack(n)) for i, n in names.items()))
        self.db.execute("COMMIT")

    def unanswered(self) -> Iterator[int]:
        """Positions of the images without an answer."""
        last = -1
        select = (
            "SELECT position FROM image WHERE position > ? AND position % ? = ? "
            "AND position NOT IN (SELECT position FROM answer) ORDER BY position LIMIT ?"
        )
        index, count = self._shard
        while rows := self.db.execute(select, (last, count, index, CHUNK)).fetchall():
            for (last,) in rows:
                yield last

    def record(self, position: int, prediction: Prediction) -> ScoredPrediction:
        """Note an answer; it is with the operating system when this returns. A server's fault is none, and not noted.

        Raises:
            sqlite3.OperationalError: the disk is full, or such.
        """
        (label,) = self.db.execute("SELECT labels FROM image WHERE position = ?", (position,)).fetchone()
        scored = self._beside_label(prediction, label)
        if not prediction.is_server_fault:
            best = prediction.top[0] if prediction.top else None
            top = json.dumps([(c.class_id, c.score) for c in prediction.top])
            row = (
                *(position, scored.verdict, best.class_id if best else None, best.score if best else None),
                *(prediction.margin, top, scored.in_top5, pack(prediction.error), prediction.latency_s),
                *(prediction.server, prediction.xclbin_uuid),
                *(astuple(prediction.times) if prediction.times else [None] * len(TIMES)),
                *(astuple(prediction.provenance) if prediction.provenance else [None] * len(PROVENANCE)),
                prediction.logits.tobytes() if prediction.logits is not None else None,
            )
            self.db.execute(self._top_insert, row)
        return scored

    def rows(self) -> Iterator[ScoredPrediction]:
        """All answers, in the order of the images."""
        last = -1
        select = f"SELECT file, labels, {', '.join(ANSWER_COLUMNS)} FROM image JOIN answer USING (position)"
        select += " WHERE position > ? ORDER BY position LIMIT ?"
        while rows := self.db.execute(select, (last, CHUNK)).fetchall():
            for file, label, *values in rows:
                last = values[0]
                yield self._scored(unpack(file), label, values)

    def _beside_label(self, prediction: Prediction, packed: int | str | None) -> ScoredPrediction:
        label = unpack_label(packed)
        return ScoredPrediction(prediction, label, self.names.get(classes_of(label)[0]) if label is not None else None)

    def _scored(self, file: str, label: int | str | None, values: list[Any]) -> ScoredPrediction:
        answer = dict(zip(ANSWER_COLUMNS, values, strict=True))
        times, told = ({name: answer[name] for name in names} for names in (TIMES, PROVENANCE))
        prediction = Prediction(
            source=file,
            top=tuple(Candidate(i, self.names.get(i), score) for i, score in json.loads(answer["top"])),
            margin=answer["margin"],
            error=unpack(answer["error"]),
            latency_s=answer["latency_s"],
            server=answer["server"],
            xclbin_uuid=answer["xclbin_uuid"],
            provenance=Provenance(**told) if told["card"] is not None else None,
            times=Times(**times) if times["slot"] is not None else None,
        )
        return self._beside_label(prediction, label)

    def export(self, path: Path, *, profile: bool = False) -> None:
        """Write all answers to a CSV or JSON Lines file; it is there as a whole, or as it was.

        Args:
            path: ends in .csv or .jsonl.
            profile: with the timestamps and the times derived from them.

        Raises:
            OSError: the disk is full, or such.
        """
        with Replacement(path) as file:
            if path.suffix == ".csv":
                writer = csv.writer(file)
                writer.writerow([*COLUMNS, *PROFILE_COLUMNS] if profile else COLUMNS)
                writer.writerows(_as_row(scored, profile) for scored in self.rows())
            else:
                file.writelines(json.dumps(as_json(scored, profile)) + "\n" for scored in self.rows())


class Replacement:
    """A text file that takes another's place when it is complete. What is no plain file, such as a pipe, is written."""

    def __init__(self, path: Path) -> None:
        """Prepare.

        Raises:
            DatasetError: the place cannot be written.
        """
        self._path = path.resolve()
        self._is_plain = not self._path.exists() or self._path.is_file()
        self._written = self._path.with_name(f".{path.name}.{os.getpid()}") if self._is_plain else self._path
        try:
            if self._path.is_file() and not os.access(self._path, os.W_OK):
                raise PermissionError(0, "Permission denied")
            self._file: TextIO = self._written.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise DatasetError(f"cannot write '{path}': {error.strerror}") from error

    def __enter__(self) -> TextIO:
        return self._file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
            if self._is_plain and kind is None:
                self._written.replace(self._path)
        finally:
            if self._is_plain:
                self._written.unlink(missing_ok=True)


def require_writable(*paths: Path | None) -> None:
    """Find out at the start what would else be found out at the end.

    Raises:
        DatasetError: one of them cannot be written.
    """
    for path in paths:
        if path and path.is_dir():
            raise DatasetError(f"cannot write '{path}': it is a folder (name a file in it)")
        if path and (path.is_file() or not path.exists()):
            trial = Replacement(path)
            trial.__exit__(DatasetError, None, None)


def run_file(outfile: Path) -> Path:
    """The file of the run whose results go to `outfile`.

    Raises:
        DatasetError: a suffix that says nothing of the format.
    """
    if outfile.suffix not in (*EXPORTS, SUFFIX):
        raise DatasetError(f"output file '{outfile}' must end in .csv, .jsonl or .sqlite, which chooses its format")
    return outfile.with_suffix(SUFFIX)


def in_words(setting: object) -> str:
    """What is noted about a run, for people."""
    if isinstance(setting, (list, tuple)):
        return ", ".join(map(str, setting)) or "unknown"
    if isinstance(setting, bool):
        return "on" if setting else "off"
    return "unknown" if setting is None else str(setting)


def run_behind(path: Path) -> Path:
    """The run of which a .csv or .jsonl is an export; any other path is the run's own."""
    return path.with_suffix(SUFFIX) if path.suffix in EXPORTS else path


def as_json(scored: ScoredPrediction, profile: bool = False) -> dict[str, Any]:
    """Everything known about one image as a JSON object; the label and what follows from it only if there is one."""
    prediction = scored.prediction
    answer: dict[str, Any] = {
        "file": prediction.source,
        "top": [{"class": c.class_id, "name": c.name, "score": c.score} for c in prediction.top],
        "margin": prediction.margin,
        "error": prediction.error,
        "latency_s": round(prediction.latency_s, 6),
        "server": prediction.server,
        "xclbin_uuid": prediction.xclbin_uuid,
        "provenance": asdict(prediction.provenance) if prediction.provenance else None,
        "times": asdict(prediction.times) if prediction.times else None,
    }
    if scored.label is not None:
        answer |= {
            "label": scored.label,
            "label_name": scored.label_name,
            "verdict": scored.verdict,
            "in_top5": scored.in_top5,
        }
    return answer | ({"derived_s": derive(prediction)} if profile else {})


def _as_row(scored: ScoredPrediction, profile: bool) -> list[object]:
    prediction = scored.prediction
    best = prediction.top[0] if prediction.top else None
    row: list[object] = [
        *(prediction.source, pack_label(scored.label), scored.label_name),
        *((best.class_id, best.name, best.score) if best else (None, None, None)),
        *(prediction.margin, " ".join(map(str, prediction.class_ids)), scored.verdict, scored.in_top5),
        *(prediction.error, round(prediction.latency_s, 6), prediction.server),
        *(prediction.provenance.card if prediction.provenance else None, prediction.xclbin_uuid),
    ]
    if profile:
        at, derived = card_times(prediction) or {}, derive(prediction)
        row += [prediction.times.start_ns if prediction.times else None, *map(at.get, CARD_TIMES)]
        row += map(derived.get, DERIVED)
    return row
