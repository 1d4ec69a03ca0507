"""The journal of a run: each answer is on disk as soon as it is there, so that a run that was cut short goes on.

A JSON object on each line: first what the run is about, then one image after the other, at the end a mark that all
are there. A line counts once its end is there; what a kill or a full disk left of one is cut off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from resnet50_client.accuracy import Judged
from resnet50_client.errors import DatasetError
from resnet50_client.outfile import as_json, from_json

MARK, FORMAT = "resnet50_client_journal", 1  # the first line begins with it


class Journal:
    """The journal of one run, open for writing."""

    def __init__(self, path: Path, about: Mapping[str, Any], *, resume: bool) -> None:
        """Begin a journal, or go on with one.

        Args:
            path: where it is.
            about: what makes runs comparable: images, labels, model; as JSON.
            resume: go on where there is an unfinished or finished journal about the same.

        Raises:
            DatasetError: there is one of an unfinished run and `resume` is not set, or one about something else, or
                the file is no journal.
        """
        self.path = path
        self._head = {MARK: FORMAT, **about}
        self._size = 0  # of what counts
        self.recorded = 0  # images
        head, finished = self._survey()
        if head and not resume and not finished:
            raise DatasetError(
                f"'{path}' is the journal of a run that was cut short after {self.recorded} images: "
                "go on with --resume, or delete it to start anew"
            )
        if resume and head:
            self._compare(head)
        else:
            self._size = self.recorded = 0
        try:
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._file.truncate(self._size)
            self._file.seek(self._size)
        except OSError as error:
            raise DatasetError(f"cannot write '{path}': {error.strerror}") from error
        if self._size == 0:
            self._append(self._head)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def replay(self) -> Iterator[Judged]:
        """The images that are recorded, in order."""
        for record in self._records() if self.recorded else ():
            if "file" in record:
                yield from_json(record)

    def add(self, judged: Judged) -> None:
        """Record one image; it is with the operating system when this returns.

        Raises:
            OSError: the disk is full, or such.
        """
        self._append(as_json(judged))

    def finish(self) -> None:
        """Mark the run as complete."""
        self._append({"finished": True})

    def _append(self, record: Mapping[str, Any]) -> None:
        left = json.dumps(record).encode() + b"\n"
        while left:  # a disk that is nearly full takes a part, and says why only when asked for the rest
            left = left[self._file.write(left) :]

    def _survey(self) -> tuple[dict[str, Any], bool]:
        """The first line and whether the last is the mark of the end; counts what is between."""
        head: dict[str, Any] = {}
        finished = False
        if self.path.is_file() and self.path.stat().st_size:
            for record in self._records(measure=True):
                head = head or record
                finished = "finished" in record
            if head.get(MARK) != FORMAT and not self._is_begun():
                raise DatasetError(f"'{self.path}' is no journal of this client: name another place with --journal")
        return head, finished

    def _is_begun(self) -> bool:
        """Whether it is no more than the beginning of a first line."""
        begun = self.path.read_bytes()
        return (json.dumps(self._head).encode() + b"\n").startswith(begun)

    def _records(self, *, measure: bool = False) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None
                if not isinstance(record, dict):
                    raise DatasetError(f"'{self.path}' is no journal, or damaged: found {line[:60]!r}")
                if measure and "finished" not in record:  # a run that is complete can be gone through again
                    self._size += len(line)
                    self.recorded += "file" in record
                yield record

    def _compare(self, head: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(self._head))
        for name in sorted({*head, *wanted}):
            if head.get(name) != wanted.get(name):
                raise DatasetError(
                    f"'{self.path}' is the journal of another run: its {name.replace('_', ' ')} is {head.get(name)}, "
                    f"now it is {wanted.get(name)} (give the same options, or another --journal)"
                )


def digest(lines: Iterable[str]) -> str:
    """A short fingerprint of many lines."""
    sha = hashlib.sha256()
    for line in lines:
        sha.update(line.encode("utf-8", "surrogateescape") + b"\0")
    return sha.hexdigest()[:16]
