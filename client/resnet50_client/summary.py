"""The outcome of an accuracy run: what is printed at its end, and the same as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from rich.console import Console
from rich.text import Text

from resnet50_client.accuracy import AccuracyCounts, Proportion
from resnet50_client.api import ServerInfo
from resnet50_client.images import Skipped
from resnet50_client.screen import STYLES, describe_class, printable
from resnet50_client.version import __version__

LISTED = 10  # files named in the summary for each kind of trouble; the results file has them all
WORST = 5  # classes named in the summary
PROFILE_COLUMNS = ("count", "mean", "std", "min", "25%", "50%", "75%", "max")
MEANING = {"missing": "have a label but no image"}
UNTOLD = "the server does not say which card answered (serve --provenance has it say so)"


@dataclass(frozen=True)
class Summary:
    """The outcome of an accuracy run."""

    server: ServerInfo
    counts: AccuracyCounts
    missing: Sequence[str]  # labels without an image
    skipped: Skipped  # what is no image
    listed: int  # images that were to be sent; more than were counted if the run was cut short
    duration_s: float
    concurrency: int
    min_top1: float | None  # per cent
    names: Mapping[int, str]  # of classes
    data_set: str = ""  # as it was named
    resumed: int = 0  # images that the run had before it was resumed
    resumed_answered: int = 0  # those of them that were answered
    profile_table: Sequence[tuple[str, list[float]]] = ()
    profile_busy: Mapping[str, float | None] = field(default_factory=dict)
    profile_lines: Sequence[str] = ()
    faults: Sequence[tuple[str, str]] = ()  # images at which the servers failed, the last few, with the error
    command: Sequence[str] = ()  # the words after the program's name
    fault_count: int = 0  # all of them: they have no answer, and are asked for again by --resume

    @property
    def images_per_s(self) -> float:
        """Images answered in this run, by the time from the first request to the last answer."""
        return (self.counts.answered - self.resumed_answered) / self.duration_s if self.duration_s else 0.0

    @property
    def not_reached(self) -> int:
        """Images that were not asked for because the run was cut short."""
        return self.listed - self.counts.images - self.fault_count

    @property
    def reason(self) -> str:
        """What speaks against the figures or the network, the gravest first; or that nothing does."""
        counts = self.counts
        if self.server.computes_nothing:
            return "a timing card computes nothing: these figures mean nothing"
        if len(counts.xclbins) > 1:
            return f"the answers come from {len(counts.xclbins)} different xclbins"
        if counts.scored == 0:
            return "no labelled image was answered"
        if self.not_reached:
            return f"{self.not_reached} images were not reached"
        if self.fault_count:
            return f"at {self.fault_count} images the server failed (--resume asks for them again)"
        reasons = []
        if counts.failed:
            reasons.append("1 image failed" if len(counts.failed) == 1 else f"{len(counts.failed)} images failed")
        if self.min_top1 is not None and 100 * counts.top1.share < self.min_top1:
            reasons.append(f"top-1 is below the {self.min_top1:g} % asked for")
        return "; ".join(reasons) or "every image was answered"

    @property
    def passed(self) -> bool:
        """All images came through, by one network, and top-1 is not below the limit asked for."""
        return self.reason == "every image was answered"

    def class_name(self, class_id: int) -> str:
        """Id and name of a class."""
        return describe_class(class_id, self.names.get(class_id))

    def facts(self) -> list[tuple[str, str]]:
        """Who answered, as rows of two."""
        counts = self.counts
        rows = [
            ("server", f"{self.server.server} at {self.server.url}"),
            ("model", self.server.model),
            ("cards", ", ".join(counts.cards or self.server.cards)),
            ("xclbin", ", ".join(counts.xclbins or self.server.xclbins)),
            ("client", __version__),
            ("decoding", ", ".join(self.server.decoding)),
            ("not told", "" if self.server.tells_provenance else UNTOLD),
        ]
        return [(name, value) for name, value in rows if value]

    def run_facts(self) -> list[tuple[str, str]]:
        """When and how it was run, as rows of two."""
        is_reached = self.min_top1 is not None and 100 * self.counts.top1.share >= self.min_top1
        limit = (
            "none" if self.min_top1 is None else f"{self.min_top1:g} %, {'reached' if is_reached else 'not reached'}"
        )
        speed = f"{self.images_per_s:.1f} images/s, {self.concurrency} in flight, {self.duration_s:.1f} s"
        return [
            ("date", datetime.now().astimezone().isoformat(" ", "seconds")),
            ("data set", self.data_set),
            ("command", shlex.join(["resnet50-client", *self.command])),
            ("top-1 asked for", limit),
            ("speed", speed + (f"; {self.resumed} images were done before" if self.resumed else "")),
        ]

    def troubles(self) -> list[tuple[str, Sequence[Any]]]:
        """Kinds of images that were not scored, each with its files, for `describe_file`."""
        return [
            ("failed", self.counts.failed),
            ("not answered by the server's fault", self.faults),
            ("unlabelled", self.counts.unlabelled),
            ("missing", self.missing),
        ]

    def as_json(self) -> dict[str, Any]:
        """All figures and every file that was not scored, as a JSON object."""
        return {
            "server": asdict(self.server),
            "images": self.listed,
            "scored": self.counts.scored,
            "top1": _proportion_json(self.counts.top1),
            "top5": _proportion_json(self.counts.top5),
            "failed": [{"file": file, "error": error} for file, error in self.counts.failed],
            "unlabelled": list(self.counts.unlabelled),
            "missing": list(self.missing),
            "not_reached": self.not_reached,
            "server_faults": self.fault_count,
            "skipped": dict(self.skipped.counts),
            "duration_s": round(self.duration_s, 3),
            "images_per_s": round(self.images_per_s, 2),
            "concurrency": self.concurrency,
            "resumed": self.resumed,
            "cards": dict(self.counts.cards),
            "xclbins": dict(self.counts.xclbins),
            "client_version": __version__,
            "worst_classes": [
                {"class": label, "name": count.name, "right": count.right, "of": count.scored}
                for label, count in self.counts.worst_classes[:LISTED]
            ],
            "profile_s": {name: dict(zip(PROFILE_COLUMNS, values, strict=True)) for name, values in self.profile_table},
            "profile_busy": dict(self.profile_busy),
            "profile_summary": list(self.profile_lines),
            "min_top1_percent": self.min_top1,
            "passed": self.passed,
            "reason": self.reason,
        }

    def show(self, console: Console) -> None:
        """Print the summary."""
        counts = self.counts
        for name, proportion in (("top-1", counts.top1), ("top-5", counts.top5)):
            console.print(Text(f"{name:<9} {describe_proportion(proportion)}", style="bold"))
        if counts.scored and not self.passed:
            console.print(Text(f"{'':<9} {self.reason}", style=STYLES["wrong"]))
        console.print(Text(f"{'coverage':<9} {counts.scored} of {self.listed} images scored"))
        for kind, files in self.troubles():
            self._show_files(console, kind, files)
        if self.skipped.total:
            console.print(Text(f"{'skipped':<9} {printable(str(self.skipped))}"))
        self._show_worst(console)
        done = counts.answered - self.resumed_answered
        speed = f"{self.images_per_s:.1f} images/s ({done} in {self.duration_s:.2f} s, concurrency {self.concurrency})"
        if self.resumed:
            speed += f"; {self.resumed} images were done before"
        console.print(Text(f"{'speed':<9} {speed}"))
        cards = ", ".join(counts.cards or self.server.cards)
        server = f"{self.server.server} at {self.server.url}, model {self.server.model}"
        console.print(Text(f"{'server':<9} {server}" + (f", card {cards}" if cards else "")))
        for name, value in self.facts()[2:]:
            if name in ("xclbin", "not told"):
                console.print(Text(f"{name:<9} {value}"))
        self._show_profile(console)

    def _show_worst(self, console: Console) -> None:
        classes = self.counts.worst_classes
        if len(classes) > 1:
            all_right = sum(count.right == count.scored for _, count in classes)
            console.print(Text(f"{'classes':<9} {len(classes)} have scored images, {all_right} have all of them right"))
        worst = [entry for entry in classes[:WORST] if entry[1].right < entry[1].scored]
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
        count = self.fault_count if files is self.faults else len(files)
        console.print(Text(f"{'':<9} {count} {MEANING.get(kind, kind)}:", style=STYLES.get(kind, "yellow")))
        for file in islice(files, LISTED):
            console.print(Text(f"{'':<11} {printable(describe_file(file))}"))
        if count > LISTED:
            console.print(Text(f"{'':<11} and {count - LISTED} more (--json lists them all)"))


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


def _proportion_json(proportion: Proportion) -> dict[str, Any]:
    low, high = proportion.interval
    share = proportion.share if proportion.trials else None
    return {"hits": proportion.hits, "of": proportion.trials, "share": share, "low": low, "high": high}
