"""`resnet50-client merge`: one run of the parts that `accuracy --shard` made."""

from __future__ import annotations

import argparse
import sqlite3
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.text import Text

from resnet50_client.accuracy import AccuracyCounts
from resnet50_client.errors import DatasetError
from resnet50_client.results import EXPORTS, STORED, Results, in_words, require_writable, run_behind, run_file
from resnet50_client.screen import consoles
from resnet50_client.summary import describe_proportion

HELP = "merge the parts of `accuracy --shard` into one run"
NOT_SHARED = ("holder", "shard", "server", "command")  # what may be different in the parts
EXAMPLES = """\
examples:
  resnet50-client accuracy val/ --labels labels.txt --shard 1/2 --outfile part1.sqlite      on one machine
  resnet50-client accuracy val/ --labels labels.txt --shard 2/2 --outfile part2.sqlite      on another
  resnet50-client merge part1.sqlite part2.sqlite --outfile results.csv

Parts of different images, labels, settings or xclbins are refused, and so is an image that two parts answer. If answers
are missing, the result is an interrupted run: `accuracy --outfile results.csv --resume` completes it.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "parts", nargs="+", type=Path, metavar="PART", help="a run of `accuracy --shard`, as --outfile has named it"
    )
    parser.add_argument(
        "--outfile",
        type=Path,
        required=True,
        metavar="FILE",
        help="keep the merged run in FILE with the suffix .sqlite, which must be new, and write FILE (.csv or .jsonl)",
    )


def run(options: argparse.Namespace) -> bool:
    """Merge, and print the figures.

    Returns:
        Whether every image is answered.

    Raises:
        DatasetError: parts that do not belong together, or a whole that is there already.
    """
    kept = run_file(options.outfile)
    if kept.exists():
        raise DatasetError(f"'{kept}' is there already: name another file, or delete it")
    require_writable(kept, options.outfile)
    options.parts = [run_behind(path) for path in options.parts]
    for path in options.parts:
        if not path.is_file():
            raise DatasetError(f"cannot read '{path}': no such file (parts are made by `accuracy --shard`)")
    if len({path.resolve() for path in options.parts}) < len(options.parts):
        raise DatasetError("a part was given twice: name each once")
    with ExitStack() as stack:
        parts = [stack.enter_context(Results(path)) for path in options.parts]
        try:
            whole = stack.enter_context(Results(kept))
            merge(parts, whole)
        except BaseException:
            kept.unlink(missing_ok=True)
            Path(f"{kept}-wal").unlink(missing_ok=True)
            raise
        counts, missing = AccuracyCounts(whole.db), whole.images - whole.recorded
        if options.outfile.suffix in EXPORTS:
            whole.export(options.outfile)
        out, _ = consoles()
        for name, proportion in (("top-1", counts.top1), ("top-5", counts.top5)):
            out.print(Text(f"{name:<9} {describe_proportion(proportion)}", style="bold"))
        out.print(Text(f"coverage  {counts.scored} of {whole.images} images scored, {len(counts.failed)} failed"))
        if missing:
            out.print(Text(f"missing   {missing} images have no answer yet (accuracy --outfile {kept} --resume asks)"))
        return not missing


def merge(parts: list[Results], whole: Results) -> None:
    """Put parts of one run together.

    Args:
        parts: of the same images, labels and settings, by one xclbin.
        whole: a new run.

    Raises:
        DatasetError: they do not belong together, or overlap.
    """
    first = parts[0]
    shared = _shared(first)
    whole.begin(first.asked(), shared, resume=False)
    whole.name_classes(first.names)
    for part in parts:
        found = _shared(part)
        for name in [name for name in {**shared, **found} if found.get(name) != shared.get(name)]:
            raise DatasetError(
                f"'{part.path}' has other settings than '{first.path}': {name.replace('_', ' ')} is "
                f"{in_words(found.get(name))}, not {in_words(shared.get(name))} (run it again with the same)"
            )
        for ours, theirs in zip_longest(first.asked(), part.asked(), fillvalue=("no image", None)):
            if ours != theirs:
                has, lacks = (f"'{name}' with the label {label}" for name, label in (theirs, ours))
                raise DatasetError(
                    f"'{part.path}' is about other images or labels than '{first.path}': {has}, not {lacks} "
                    "(every part needs the whole data set and its labels)"
                )
        rows = part.db.execute(f"SELECT {', '.join(STORED)} FROM answer")
        whole.db.execute("BEGIN")
        try:
            whole.db.executemany(f"INSERT INTO answer VALUES ({', '.join('?' * len(STORED))})", rows)
        except sqlite3.IntegrityError as error:
            raise DatasetError(
                f"'{part.path}' answers images that an earlier part answers too: leave out one"
            ) from error
        whole.db.execute("COMMIT")
    xclbins = AccuracyCounts(whole.db).xclbins
    if len(xclbins) > 1:
        raise DatasetError(
            f"the parts are answers of {len(xclbins)} xclbins: {', '.join(sorted(xclbins))} (run those of one again)"
        )


def _shared(part: Results) -> dict[str, Any]:
    return {name: value for name, value in part.about.items() if name not in NOT_SHARED}
