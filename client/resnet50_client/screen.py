"""The terminal: aligned rows as they arrive, and a progress bar."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from resnet50_client.accuracy import ScoredPrediction
from resnet50_client.labels import classes_of

FILE_WIDTH, CLASS_WIDTH, SCORE_WIDTH = 44, 36, 9
STYLES = {"right": "green", "wrong": "red", "failed": "bold red", "unlabelled": "yellow"}


def consoles() -> tuple[Console, Console]:
    """Standard output and standard error; plain text where they are no terminals."""
    options: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": True}
    return Console(**options), Console(stderr=True, **options)


class Rows:
    """Prints one row for each image as it arrives, in columns whose widths are fixed beforehand."""

    def __init__(self, console: Console, files: Iterable[str], *, labelled: bool, top: int) -> None:
        """Set the widths.

        Args:
            console: where to print.
            files: all files that will come, to fit the first column.
            labelled: whether there is a verdict to show.
            top: classes to show for each image.
        """
        self._console = console
        self._labelled = labelled
        self._top = top
        longest = max((len(self._file(file)) for file in files), default=0)
        self._file_width = min(FILE_WIDTH, max(4, longest))
        self._headed = False

    def show(self, scored: ScoredPrediction) -> None:
        """Print one image: its ranked classes, or its error."""
        if not self._headed:
            self._console.print(Text(self._cells("file", "class", "score", "margin", "result"), style="bold"))
            self._headed = True
        prediction = scored.prediction
        file = shorten(self._file(prediction.source), self._file_width)
        if prediction.error is not None:
            line = f"{file:<{self._file_width}}  failed: {printable(prediction.error)}"
            self._console.print(Text(line, style=STYLES["failed"]))
            return
        for rank, candidate in enumerate(prediction.top[: self._top]):
            name = describe_class(candidate.class_id, candidate.name)
            if rank > 0:
                self._console.print(Text(self._cells("", name, _number(candidate.score), "", "")))
                continue
            result = _result(scored)
            row = Text(self._cells(file, name, _number(candidate.score), _number(prediction.margin), result))
            if self._labelled:
                row.stylize(STYLES[scored.verdict], len(row) - len(result))
            self._console.print(row)

    def _file(self, source: str) -> str:
        """With labels, which go by file name, the name alone; else the path as it was given."""
        return printable(Path(source).name if self._labelled else source)

    def _cells(self, file: str, name: str, score: str, margin: str, result: str) -> str:
        cells = f"{file:<{self._file_width}}  {shorten(name, CLASS_WIDTH):<{CLASS_WIDTH}}"
        cells += f"  {score:>{SCORE_WIDTH}}  {margin:>{SCORE_WIDTH}}"
        return (f"{cells}  {result}" if self._labelled else cells).rstrip()


def progress_bar(out: Console, err: Console) -> Progress:
    """A bar with a free text (`note`) beside it, on whichever of the two is a terminal; neither: no bar."""
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=out if out.is_terminal else err,
        disable=not (out.is_terminal or err.is_terminal),
        transient=True,
    )


def describe_class(class_id: int, name: str | None) -> str:
    """Id and name of a class, or the id alone."""
    return f"{class_id} {printable(name)}" if name else str(class_id)


def printable(text: str) -> str:
    """The text with control characters and undecodable bytes escaped: a file name must not drive the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shorten(text: str, width: int) -> str:
    """The text cut to a width; the end is kept, which is what differs between paths."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]


def print_plain(console: Console, text: str) -> None:
    """Print text as it is, neither coloured nor wrapped, for programs to read."""
    console.print(Text(text))


def _result(scored: ScoredPrediction) -> str:
    if scored.verdict == "wrong" and scored.label is not None:
        first, *others = classes_of(scored.label)
        return f"wrong (expected {' or '.join([describe_class(first, scored.label_name), *map(str, others)])})"
    return scored.verdict


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
