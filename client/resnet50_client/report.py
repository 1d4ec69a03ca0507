"""Put results on screen: aligned rows that stream, a progress bar, and the summary of an accuracy run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from resnet50_client.accuracy import Judged, Proportion, Tally
from resnet50_client.client import ServerInfo
from resnet50_client.version import __version__

FILE_WIDTH, CLASS_WIDTH, SCORE_WIDTH = 44, 36, 9
LISTED = 10  # files named in the summary for each kind of trouble; the results file has them all
WORST = 5  # classes named in the summary
PROFILE_COLUMNS = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")
MEANING = {"missing": "have a label but no image"}
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

    def show(self, judged: Judged) -> None:
        """Print one image: its ranked classes, or its error."""
        if not self._headed:
            self._console.print(Text(self._cells("file", "class", "score", "margin", "result"), style="bold"))
            self._headed = True
        prediction = judged.prediction
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
            result = _result(judged)
            row = Text(self._cells(file, name, _number(candidate.score), _number(prediction.margin), result))
            if self._labelled:
                row.stylize(STYLES[judged.verdict], len(row) - len(result))
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


@dataclass(frozen=True)
class Summary:
    """The outcome of an accuracy run."""

    server: ServerInfo
    tally: Tally
    missing: Sequence[str]  # labels without an image
    ignored: int  # files in the folders that are no images
    listed: int  # images that were to be sent; more than the tally has if the run was cut short
    duration_s: float
    window: int
    min_top1: float | None  # per cent
    names: Mapping[int, str]  # of classes
    resumed: int = 0  # images that an earlier run, now gone on with, had done
    resumed_answered: int = 0  # those of them that were answered
    profile_table: Sequence[tuple[str, list[float]]] = ()
    profile_lines: Sequence[str] = ()

    @property
    def images_per_s(self) -> float:
        """Images answered in this run, by the time from the first request to the last answer."""
        return (self.tally.answered - self.resumed_answered) / self.duration_s if self.duration_s else 0.0

    @property
    def not_reached(self) -> int:
        """Images that were never answered because the run was cut short."""
        return self.listed - self.tally.images

    @property
    def reason(self) -> str:
        """What speaks against the figures or the network, the gravest first; or that nothing does."""
        tally = self.tally
        if self.server.computes_nothing:
            return "a timing card computes nothing: these figures mean nothing"
        if len(tally.xclbins) > 1:
            return f"the answers come from {len(tally.xclbins)} different xclbins"
        if tally.scored == 0:
            return "no labelled image was answered"
        if self.not_reached:
            return f"{self.not_reached} images were not reached"
        if tally.failed:
            return "1 image failed" if len(tally.failed) == 1 else f"{len(tally.failed)} images failed"
        if self.min_top1 is not None and 100 * tally.top1.share < self.min_top1:
            return f"top-1 is below the {self.min_top1:g} % asked for"
        return "every image was answered"

    @property
    def passed(self) -> bool:
        """All images came through, by one network, and top-1 is not below the limit asked for."""
        return self.reason == "every image was answered"

    def class_name(self, class_id: int) -> str:
        """Id and name of a class."""
        return describe_class(class_id, self.names.get(class_id))

    def facts(self) -> list[tuple[str, str]]:
        """Who answered, as rows of two."""
        tally = self.tally
        rows = [
            ("server", f"{self.server.server} at {self.server.url}"),
            ("model", self.server.model),
            ("cards", ", ".join(tally.cards or self.server.cards)),
            ("xclbin", ", ".join(tally.xclbins)),
            ("versions", ", ".join([*(f"resnet50-pynq {v}" for v in sorted(tally.versions)), f"client {__version__}"])),
        ]
        return [(name, value) for name, value in rows if value]

    def troubles(self) -> list[tuple[str, Sequence[Any]]]:
        """Kinds of images that were not scored, each with its files, for `describe_file`."""
        return [("failed", self.tally.failed), ("unlabelled", self.tally.unlabelled), ("missing", self.missing)]

    def as_json(self) -> dict[str, Any]:
        """All figures and every file that was not scored, as a JSON object."""
        return {
            "server": asdict(self.server),
            "images": self.listed,
            "scored": self.tally.scored,
            "top1": _proportion_json(self.tally.top1),
            "top5": _proportion_json(self.tally.top5),
            "failed": [{"file": file, "error": error} for file, error in self.tally.failed],
            "unlabelled": list(self.tally.unlabelled),
            "missing": list(self.missing),
            "not_reached": self.not_reached,
            "ignored_files": self.ignored,
            "duration_s": round(self.duration_s, 3),
            "images_per_s": round(self.images_per_s, 2),
            "window": self.window,
            "resumed": self.resumed,
            "cards": dict(self.tally.cards),
            "xclbins": dict(self.tally.xclbins),
            "versions": sorted(self.tally.versions),
            "client_version": __version__,
            "worst_classes": [
                {"class": label, "name": count.name, "right": count.right, "of": count.scored}
                for label, count in self.tally.worst_classes[:LISTED]
            ],
            "profile_s": {name: dict(zip(PROFILE_COLUMNS, values, strict=True)) for name, values in self.profile_table},
            "profile_summary": list(self.profile_lines),
            "min_top1_percent": self.min_top1,
            "passed": self.passed,
            "reason": self.reason,
        }

    def show(self, console: Console) -> None:
        """Print the summary."""
        tally = self.tally
        for name, proportion in (("top-1", tally.top1), ("top-5", tally.top5)):
            console.print(Text(f"{name:<9} {describe_proportion(proportion)}", style="bold"))
        if tally.scored and not self.passed:
            console.print(Text(f"{'':<9} {self.reason}", style=STYLES["wrong"]))
        console.print(Text(f"{'coverage':<9} {tally.scored} of {self.listed} images scored"))
        for kind, files in self.troubles():
            self._show_files(console, kind, files)
        if self.ignored:
            console.print(Text(f"{'':<9} {self.ignored} other {'file' if self.ignored == 1 else 'files'} passed over"))
        self._show_worst(console)
        done = tally.answered - self.resumed_answered
        speed = f"{self.images_per_s:.1f} images/s ({done} in {self.duration_s:.2f} s, window {self.window})"
        if self.resumed:
            speed += f"; {self.resumed} images were done before"
        console.print(Text(f"{'speed':<9} {speed}"))
        cards = ", ".join(tally.cards or self.server.cards)
        server = f"{self.server.server} at {self.server.url}, model {self.server.model}"
        console.print(Text(f"{'server':<9} {server}" + (f", card {cards}" if cards else "")))
        if tally.xclbins:
            console.print(Text(f"{'image':<9} {', '.join(tally.xclbins)}"))
        self._show_profile(console)

    def _show_worst(self, console: Console) -> None:
        worst = [entry for entry in self.tally.worst_classes[:WORST] if entry[1].right < entry[1].scored]
        for i, (label, count) in enumerate(worst):
            name = describe_class(label, count.name)
            console.print(Text(f"{'' if i else 'worst':<9} {name}: {count.right} of {count.scored} right"))

    def _show_profile(self, console: Console) -> None:
        if self.profile_table:
            head = "".join(f"{name:>10}" for name in PROFILE_COLUMNS)
            console.print(Text(f"\n{'times, ms':<14}{head}", style="bold"))
            for name, values in self.profile_table:
                cells = "".join(f"{1e3 * value:>10.3f}" for value in values[1:])
                console.print(Text(f"{name:<14}{values[0]:>10.0f}{cells}"))
        for line in self.profile_lines:
            console.print(Text(line))

    def _show_files(self, console: Console, kind: str, files: Sequence[Any]) -> None:
        if not files:
            return
        console.print(Text(f"{'':<9} {len(files)} {MEANING.get(kind, kind)}:", style=STYLES.get(kind, "yellow")))
        for file in islice(files, LISTED):
            console.print(Text(f"{'':<11} {printable(describe_file(file))}"))
        if len(files) > LISTED:
            console.print(Text(f"{'':<11} and {len(files) - LISTED} more (--json lists them all)"))


def describe_proportion(proportion: Proportion) -> str:
    """Such as `96.0 %  (48 of 50; 95 % interval 86.5 to 98.9 %)`."""
    if not proportion.trials:
        return "unknown: no labelled image was answered"
    low, high = proportion.interval
    return (
        f"{100 * proportion.share:5.1f} %  ({proportion.hits} of {proportion.trials}; "
        f"95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def describe_file(file: str | tuple[str, str]) -> str:
    """A file's name, with the error behind it if it has one."""
    return file if isinstance(file, str) else ": ".join(file)


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


def _result(judged: Judged) -> str:
    if judged.verdict == "wrong" and judged.label is not None:
        return f"wrong: {describe_class(judged.label, judged.label_name)}"
    return judged.verdict


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _proportion_json(proportion: Proportion) -> dict[str, Any]:
    low, high = proportion.interval
    share = proportion.share if proportion.trials else None
    return {"hits": proportion.hits, "of": proportion.trials, "share": share, "low": low, "high": high}
