"""`resnet50-client compare`: two runs over the same images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.text import Text

from resnet50_client.accuracy import AccuracyCounts
from resnet50_client.comparison import Change, Comparison
from resnet50_client.errors import DatasetError
from resnet50_client.report import compare_report
from resnet50_client.results import Replacement, Results, in_words, require_writable, run_behind
from resnet50_client.screen import consoles, describe_class, print_plain, printable
from resnet50_client.summary import describe_proportion

HELP = "compare two runs over the same images: both accuracies, their difference, and which images changed"
LISTED = 10  # images named for each kind of change; --json has them all
SETTINGS = ("model", "decoding", "decoded_in_the_client")
EXAMPLES = """\
examples:
  resnet50-client compare before.sqlite after.sqlite
  resnet50-client compare stretch.sqlite center_crop.sqlite --report compare.html
  resnet50-client compare before.sqlite after.sqlite --json | jq .lost

The runs are those that `accuracy --outfile NAME.sqlite` keeps. Only images that both have scored are compared. The
interval of the difference is Agresti and Min's for pairs. McNemar's exact test gives the probability of such a
difference if neither run is better.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("before", type=Path, metavar="A", help="a run, as `accuracy --outfile` has named it")
    parser.add_argument("after", type=Path, metavar="B", help="the run to compare with it (.sqlite)")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page with the images that changed")


def run(options: argparse.Namespace) -> bool:
    """Print the comparison.

    Returns:
        True: a difference is no fault.

    Raises:
        DatasetError: a file that is no run, or runs that have no scored image in common.
    """
    options.before, options.after = run_behind(options.before), run_behind(options.after)
    for path in (options.before, options.after):
        if not path.is_file():
            raise DatasetError(f"cannot read '{path}': no such file (runs are kept by `accuracy --outfile`)")
    if options.before.resolve() == options.after.resolve():
        raise DatasetError(f"'{options.before}' was given twice: name two runs")
    require_writable(options.report)
    out, _ = consoles()
    with Results(options.before) as a, Results(options.after) as b:
        comparison, names = Comparison(a, b), {**b.names, **a.names}
        lost = comparison.changes(was=True, becomes=False)
        gained = comparison.changes(was=False, becomes=True)
        figures = summary_lines(comparison, (options.before, options.after))
        figures += [f"settings  {name} is {x} in A, {y} in B" for name, x, y in _differing(a, b)]
        if options.json:
            print_plain(out, json.dumps(_as_json(comparison, lost, gained), indent=2))
        else:
            lines = list(figures)
            for kind, changes in (("lost", lost), ("gained", gained)):
                lines += [f"{kind:<9} {_describe(change, names)}" for change in changes[:LISTED]]
                if len(changes) > LISTED:
                    lines.append(f"{'':<9} and {len(changes) - LISTED} more (--json lists them all)")
            for line in lines:
                out.print(Text(line))
        if options.report:
            page = compare_report(comparison, figures, names)
            with Replacement(options.report) as file:
                file.write(page)
    return True


def summary_lines(comparison: Comparison, paths: tuple[Path, Path]) -> list[str]:
    """The figures, for people."""
    low, high = (100 * bound for bound in comparison.interval)
    p = comparison.p_value
    in_a, in_b = comparison.scored
    rest = f" (of {in_a} scored in A and {in_b} in B)" if (in_a, in_b) != 2 * (comparison.images,) else ""
    return [
        f"A         {describe_proportion(comparison.a)}  {paths[0]}",
        f"B         {describe_proportion(comparison.b)}  {paths[1]}",
        f"B-A       {100 * comparison.difference:+.2f} points  (95 % interval {low:+.2f} to {high:+.2f})",
        f"images    {comparison.images} in both{rest}, {comparison.equal} with the same answer, "
        f"{comparison.lost} right only in A, {comparison.gained} right only in B",
        f"McNemar   p = {p:.3g}: the difference is {'more than chance explains' if p < 0.05 else 'within chance'}",
    ]


def _differing(a: Results, b: Results) -> list[tuple[str, str, str]]:
    """What else was not the same in the two runs."""
    settings: list[tuple[str, object, object]] = [(name, a.about.get(name), b.about.get(name)) for name in SETTINGS]
    xclbins = [list(AccuracyCounts(run.db).xclbins) for run in (a, b)]
    settings.append(("xclbin", xclbins[0], xclbins[1]))
    return [(name.replace("_", " "), in_words(x), in_words(y)) for name, x, y in settings if x != y]


def _describe(change: Change, names: dict[int, str]) -> str:
    label, before, after = (describe_class(i, names.get(i)) for i in change[1:])
    return f"{printable(change.file)}: {before} -> {after} (expected {label})"


def _as_json(comparison: Comparison, lost: list[Change], gained: list[Change]) -> dict[str, object]:
    low, high = comparison.interval
    return {
        "images": comparison.images,
        "scored_in_a": comparison.scored[0],
        "scored_in_b": comparison.scored[1],
        "right_in_a": comparison.a.hits,
        "right_in_b": comparison.b.hits,
        "same_answer": comparison.equal,
        "difference": comparison.difference,
        "low": low,
        "high": high,
        "mcnemar_p": comparison.p_value,
        "lost": [change._asdict() for change in lost],
        "gained": [change._asdict() for change in gained],
    }
