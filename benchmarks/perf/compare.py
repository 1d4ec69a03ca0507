"""What moved between two results of `make bench`, beyond their noise: `make bench-compare OLD=a.json NEW=b.json`.

The noise is measured, not assumed: for each figure the distance of its highest round from its lowest, old and new added
up, and not less than what is usual among all figures of that kind, because three rounds can agree by chance. A median
that moved by more has moved. Rounds of one run share that run's luck with the machine: run twice without a change, and
compare, to see what this machine does to two runs.

exit codes: 0 nothing got worse, 1 something did, 2 the files cannot be compared
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIGURES = {"images_per_s": "images/s", "p50_ms": "p50, ms", "p99_ms": "p99, ms"}
MORE_IS_BETTER = {"images_per_s"}
CASE = ("server", "input", "transport", "batch", "concurrency")


@dataclass(frozen=True)
class Change:
    """One figure of one case in both results; noise is what it would have to move by, as a share of the old one."""

    case: str
    figure: str
    old: float
    new: float
    noise: float

    @property
    def moved(self) -> float:
        """By how much, as a share of the old one."""
        return self.new / self.old - 1

    @property
    def verdict(self) -> str:
        """ "better", "worse", or "same" where it did not move beyond the noise."""
        if abs(self.moved) <= self.noise:
            return "same"
        return "better" if (self.moved > 0) == (self.figure in MORE_IS_BETTER) else "worse"


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Every figure of the cases that are in both, with at least two rounds: one alone says nothing of its noise."""
    before, after = ({_name(row): row for row in result["rows"] if len(row["p50_ms"]) > 1} for result in (old, new))
    pairs = [(before[name], row) for name, row in after.items() if name in before]
    usual = {
        figure: 2 * statistics.median(_range(row[figure]) for pair in pairs for row in pair) if pairs else 0.0
        for figure in FIGURES
    }
    changes = []
    for was, now in pairs:
        for figure in FIGURES:
            medians = statistics.median(was[figure]), statistics.median(now[figure])
            noise = max(usual[figure], _range(was[figure]) + _range(now[figure]))
            changes.append(Change(_name(now), figure, *medians, noise))
    return changes


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['server']}: {row['input']} over {row['transport']}, {row['concurrency']} x {row['batch']}"


def _range(values: Sequence[float]) -> float:
    """From the lowest to the highest, as a share of the median."""
    return (max(values) - min(values)) / statistics.median(values)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What else differs, that may be why figures do."""
    said = []
    for name in ("cpu", "cores"):
        was, now = old["made"]["machine"][name], new["made"]["machine"][name]
        if was != now:
            said.append(f"another machine: {name} {was}, then {now}")
    for name, was in old["made"]["versions"].items():
        now = new["made"]["versions"].get(name)
        if was != now:
            said.append(f"{name} {was}, then {now}")
    for which, result in (("old", old), ("new", new)):
        if result["rounds"] < 3 or not result["complete"]:
            said.append(f"the {which} one has few rounds, or was ended early: its noise is not well known")
    return said


def _read(path: str) -> Any:
    try:
        result = json.loads(Path(path).read_text())
        if not all(len(row[figure]) for row in result["rows"] for figure in FIGURES):
            raise ValueError("a case without a round")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SystemExit(_unusable(f"{path} is no result of 'make bench': {error}")) from None
    return result


def _unusable(reason: str) -> int:
    print(f"make bench-compare: {reason}", file=sys.stderr)
    return 2


def main() -> int:
    """Print what moved; 1 where something got worse."""
    parser = argparse.ArgumentParser(
        prog="make bench-compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", help="a load.json; the committed one is benchmarks/results/load.json")
    parser.add_argument("new", help="as old")
    parser.add_argument("--all", action="store_true", help="show what did not move, too")
    args = parser.parse_args()
    old, new = _read(args.old), _read(args.new)
    changes = compare(old, new)
    if not changes:
        return _unusable("the two results have no case in common that both measured at least twice")
    for text in differences(old, new):
        print(f"note: {text}")
    shown = [change for change in changes if args.all or change.verdict != "same"]
    width = max((len(change.case) for change in shown), default=0)
    for c in shown:
        print(
            f"{c.verdict:6}  {c.case:{width}}  {FIGURES[c.figure]:8}  {c.old:9.2f} -> {c.new:9.2f}  {c.moved:+7.1%}"
            f"  (noise {c.noise:.1%})"
        )
    counts = {verdict: sum(c.verdict == verdict for c in changes) for verdict in ("better", "worse", "same")}
    print(f"{len(changes)} figures: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["worse"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
