"""`resnet50-client accuracy`: measure top-1 and top-5 accuracy."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path

from resnet50_client import logits
from resnet50_client.accuracy import AccuracyCounts
from resnet50_client.api import TOP, AsyncClient
from resnet50_client.commands.arguments import (
    add_labels,
    add_server,
    images_and_labels,
    model_options,
    percent,
    server_options,
)
from resnet50_client.commands.interrupt import run_until_done
from resnet50_client.commands.stream import record_answers, warn_of_unreachable
from resnet50_client.errors import DatasetError
from resnet50_client.images import Images
from resnet50_client.labels import Labels
from resnet50_client.profile import Profile
from resnet50_client.report import html_report
from resnet50_client.results import EXPORTS, Replacement, Results, require_writable, run_file
from resnet50_client.screen import Rows, consoles, print_plain
from resnet50_client.summary import LISTED, Summary
from resnet50_client.trace import Trace
from resnet50_client.version import __version__

HELP = "measure top-1 and top-5 accuracy over labelled images, with 95 %% intervals"
ALL_ROWS, WRONG_ROWS = 20, 500  # up to so many images a run shows a row for each, or for each that is not right
NAMED = 3  # paths of the data set that the report names
EXAMPLES = """\
examples:
  resnet50-client accuracy val/ --labels labels.txt
  resnet50-client accuracy val.tar --labels labels.csv --outfile results.csv --report report.html
  resnet50-client accuracy val/ --labels labels.txt --outfile results.csv --resume    continue after a Ctrl-C
  resnet50-client accuracy imagenet/val/ --labels folders --class-map imagenet_class_index.json
  resnet50-client accuracy val/ --labels labels.txt --min-top1 60 --json > summary.json
  resnet50-client accuracy val/ --labels labels.txt --profile --trace run.trace.json
  resnet50-client accuracy imagenet/val/ --labels real.json --logits logits.npy
  resnet50-client accuracy val/ --labels labels.txt --url card7 --url card8:9001

labels.txt has a line `<filename> <class id>` for each image, the name without folders:
  ILSVRC2012_val_00000001.JPEG 65
A .csv has the same in two columns, or under a heading (filename,label). `--labels folders` takes the folder of each
image for its class. A class map (JSON, or a key on each line) says which id a key such as n01440764 has.
A .json has several right classes for an image, as ReaL's real.json for ImageNet's validation set.

Top-1 and top-5 are over the images that have a label and were answered. All others are counted and named:
failed, unlabelled (an image without a label), missing (a label without an image), skipped (no image by its name).

With --outfile results.csv the run is kept in results.sqlite, each answer as it arrives; results.csv is written at
the end. Whatever interrupts the run, the same command with --resume continues it, with the figures and files of an
uninterrupted run. For a complete run, --resume writes the files again, such as a results.jsonl.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="folder (searched to any depth), .tar or .zip, or a list (.txt, .lst) with a path on each line",
    )
    add_labels(parser, required=True)
    parser.add_argument("--min-top1", type=percent, metavar="PERCENT", help="exit with 1 if top-1 is below this")
    parser.add_argument(
        "--allow-timing-card",
        action="store_true",
        help="run even on a card that computes nothing; the exit code is then 1",
    )
    parser.add_argument(
        "--show",
        choices=("auto", "all", "wrong", "none"),
        default="auto",
        help=f"images to print a row for (default: all of up to {ALL_ROWS}, wrong of up to {WRONG_ROWS}, else none)",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object, and no rows")
    parser.add_argument(
        "--outfile",
        type=Path,
        metavar="FILE",
        help="keep the run in FILE with the suffix .sqlite; at the end, write every answer to FILE (.csv or .jsonl)",
    )
    parser.add_argument("--resume", action="store_true", help="continue the run of --outfile")
    parser.add_argument(
        "--shard",
        type=_shard,
        default=(0, 1),
        metavar="K/N",
        help="only the K-th of N parts, such as 3/16; `resnet50-client merge` makes one run of them",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write an HTML page with plots, the worst classes and the errors"
    )
    parser.add_argument(
        "--logits",
        type=Path,
        metavar="FILE.npy",
        help="keep all logits, and at the end write them in the order of the images; FILE.files.csv names the rows",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="report the times of each stage (the card's: if the server runs with --provenance) and the bottleneck: on "
        "screen, in --outfile and as a trace file",
    )
    parser.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="the trace file of --profile, for ui.perfetto.dev (default: OUTFILE.trace.json, or profile.trace.json)",
    )
    add_server(parser)


def run(options: argparse.Namespace) -> bool:
    """Classify images, compare with their labels, print the summary; if cut short, that of what was done.

    Returns:
        Whether every image was answered, at least one scored, and top-1 high enough.

    Raises:
        DatasetError: not a single image has a label, the run is about other images, or the card computes nothing.
    """
    outfile: Path | None = options.outfile
    if options.shard[1] > 1 and not outfile:
        raise DatasetError("--shard needs a file for its part of the run: name its --outfile")
    if options.resume and not outfile:
        raise DatasetError("--resume needs the earlier run: name its --outfile")
    kept = run_file(outfile) if outfile else None
    trace = _trace_file(options)
    if options.logits and options.logits.suffix != logits.SUFFIX:
        raise DatasetError(f"the file for the logits '{options.logits}' must end in {logits.SUFFIX}")
    beside = logits.files_beside(options.logits) if options.logits else None
    require_writable(outfile if outfile != kept else None, options.report, trace, options.logits, beside)
    images, labels = images_and_labels(options)
    items = images.items
    if all(labels.find(item.name) is None for item in items):
        raise DatasetError(
            f"none of the {len(items)} images has a label: the first image is '{Path(items[0].name).name}', "
            f"the first label is for '{next(iter(labels.ids))}'"
        )
    client = AsyncClient(**server_options(options), **model_options(options), top=TOP, logits=bool(options.logits))
    with Results(kept) as results:
        about = {"model": client.model, "decoded_in_the_client": client.pixels, "logits": client.logits}
        results.begin(
            ((item.name, labels.find(item.name)) for item in items), about, resume=options.resume, shard=options.shard
        )
        return run_until_done(_Run(options, client, images, labels, results, trace).run())


def _shard(text: str) -> tuple[int, int]:
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"must be K/N with K from 1 to N, such as 3/16, not {text}")
    return int(part) - 1, int(parts)


def _data_set(options: argparse.Namespace) -> str:
    rest = f" and {len(options.paths) - NAMED} more" if len(options.paths) > NAMED else ""
    return f"{', '.join(options.paths[:NAMED])}{rest}, labels {options.labels}"


def _trace_file(options: argparse.Namespace) -> Path | None:
    if not (options.profile or options.trace):
        return None
    default = options.outfile.with_suffix(".trace.json") if options.outfile else Path("profile.trace.json")
    return Path(options.trace or default)


class _Run:
    """One run from the connection to the last file."""

    def __init__(
        self,
        options: argparse.Namespace,
        client: AsyncClient,
        images: Images,
        labels: Labels,
        results: Results,
        trace: Path | None,
    ) -> None:
        self.options, self.client, self.images, self.labels = options, client, images, labels
        self.results, self.trace = results, trace
        self.screen = self.out, self.err = consoles()
        self.faults: list[tuple[str, str]] = []
        self.fault_count = 0
        self.trouble: DatasetError | None = None  # with a file at the end
        self.started = self.finished = time.perf_counter()

    async def run(self) -> bool:
        client, options = self.client, self.options
        async with client:
            warn_of_unreachable(client, self.err)
            server = await client.describe()
            earlier = AccuracyCounts(self.results.db)
            self._refuse_other_decoding(earlier, list(server.decoding))
            self.results.note(
                server=asdict(server), decoding=server.decoding, command=sys.argv[1:], client_version=__version__
            )
            if server.computes_nothing and not options.allow_timing_card:
                raise DatasetError(
                    f"card '{', '.join(server.cards)}' computes nothing, so its answers have no accuracy: serve "
                    "another card (--allow-timing-card runs all the same)"
                )
            begun_ns, cpu_started = time.time_ns(), time.process_time()
            try:
                await self._ask()
            finally:
                duration_s = self.finished - self.started
                client_cpu_s = time.process_time() - cpu_started
                profile = self._exports(begun_ns)
                busy = profile.busy(duration_s, client_cpu_s) if profile else {}
                summary = Summary(
                    server=server,
                    counts=AccuracyCounts(self.results.db),
                    missing=self.labels.missing(item.name for item in self.images.items),
                    skipped=self.images.skipped,
                    listed=self.results.images,
                    data_set=_data_set(options),
                    duration_s=duration_s,
                    concurrency=client.concurrency,
                    min_top1=options.min_top1,
                    names=client.names,
                    resumed=earlier.images,
                    resumed_answered=earlier.answered,
                    profile_table=profile.table() if profile else (),
                    profile_busy=busy,
                    profile_lines=profile.lines(busy, duration_s, client.concurrency) if profile else (),
                    faults=self.faults,
                    command=sys.argv[1:],
                    fault_count=self.fault_count,
                )
                self._show(summary)
        if self.trouble:
            raise self.trouble
        return summary.passed

    def _refuse_other_decoding(self, earlier: AccuracyCounts, decoding: list[str]) -> None:
        """A run that is resumed is one run: the images that are left are not to be decoded in another way."""
        found = self.results.about.get("decoding", decoding)
        if 0 < earlier.images < self.results.images and found != decoding:
            raise DatasetError(
                f"'{self.results.path}' is a run whose server decoded images by {', '.join(found) or 'no known mode'}, "
                f"this one decodes by {', '.join(decoding) or 'no known mode'} (set the model's parameter mode, or "
                "name another --outfile)"
            )

    async def _ask(self) -> None:
        """Ask for what has no answer yet, and show it."""
        items, show = self.images.items, "none" if self.options.json else self.options.show
        if show == "auto":
            show = "all" if len(items) <= ALL_ROWS else "wrong" if len(items) <= WRONG_ROWS else "none"
        rows = Rows(self.out, (item.name for item in items), labelled=True, top=1)
        self.started = self.finished = time.perf_counter()
        async with aclosing(record_answers(self.client, items, self.results, self.screen)) as answers:
            async for scored in answers:
                self.finished = time.perf_counter()
                if scored.prediction.is_server_fault:
                    self.fault_count += 1
                    if len(self.faults) < LISTED:
                        self.faults.append((scored.prediction.source, scored.prediction.error or ""))
                if show == "all" or (show == "wrong" and scored.verdict in {"wrong", "failed"}):
                    rows.show(scored)

    def _exports(self, begun_ns: int) -> Profile | None:
        """Write the results file and the trace; the profile of the run if it is wanted."""
        path = outfile = self.options.outfile
        try:
            if outfile and outfile.suffix in EXPORTS:
                self.results.export(outfile, profile=bool(self.trace))
            if path := self.options.logits:
                logits.write_logits(self.results, path)
        except OSError as error:  # such as a full disk: the run is kept, and its figures are shown first
            self.trouble = DatasetError(f"cannot write '{path}': {error.strerror} (--resume writes it again)")
        if not self.trace:
            return None
        profile = Profile(begun_ns)
        with Replacement(self.trace) as file:
            drawn = Trace(file)
            for scored in self.results.rows():
                profile.add(scored.prediction)
                drawn.add(scored.prediction)
            drawn.finish()
        return profile

    def _show(self, summary: Summary) -> None:
        if self.options.json:
            print_plain(self.out, json.dumps(summary.as_json(), indent=2))
        else:
            summary.show(self.out)
        if self.options.report:
            shown = {file for file, *_ in summary.counts.mistakes}
            page = html_report(summary, {item.name: item for item in self.images.items if item.name in shown})
            with Replacement(self.options.report) as file:
                file.write(page)
