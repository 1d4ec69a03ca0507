"""docs/performance.md and its plots, and the measured tables of docs/faults.md and docs/fleet.md: `make performance`.

Each result that a program wrote below build/ takes the place of the one in benchmarks/results/; a program that was not
run again keeps its last result there, with its own date. The pages are made of that folder alone, and a test holds
that they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.machine import RESULTS, ROOT
from benchmarks.perf import figures, pages
from benchmarks.perf.sections import Results, render

COMMITTED = ROOT / "benchmarks" / "results"
DOCS = ROOT / "docs"
DOCUMENT = DOCS / "performance.md"
NAMES = ("load", "serving", "engine", "baselines", "loadgen")  # of docs/performance.md, in its order
# By name: where the program writes its result, the page that has the table, the command of the mark in it.
TABLES: Mapping[str, tuple[str, str, str, Callable[[Mapping[str, Any]], list[str]]]] = {
    "faults": ("fault-report.json", "faults.md", "make fault-report", pages.faults),
    "soak": ("soak.json", "faults.md", "make soak", pages.soak),
    "fleet": ("fleet.json", "fleet.md", "make fleet", pages.fleet),
}
DETAILS = {"soak": ("samples",)}  # too large to be kept


def read(folder: Path) -> dict[str, Any]:
    """The results in a folder, in the order of the documents."""
    names = (*NAMES, *TABLES)
    return {name: json.loads(path.read_text()) for name in names if (path := folder / f"{name}.json").is_file()}


def pages_of(results: Results) -> dict[Path, str]:
    """Every file that is made of the results, and what is in it."""
    made = {DOCUMENT: render({name: results[name] for name in NAMES if name in results})}
    plots = DOCS / figures.FOLDER
    made |= {plots / f"{name}.svg": svg for name, svg in figures.all_plots(results).items()}
    for name, (_, page, command, lines) in TABLES.items():
        if name in results:
            path = DOCS / page
            made[path] = pages.replace(made.get(path, path.read_text()), command, lines(results[name]))
    return made


def dumps(result: Mapping[str, Any]) -> str:
    """As JSON with a case a line, for a file that is small and whose changes can be read."""
    return _json(result, 3) + "\n"


def _json(value: Any, levels: int) -> str:
    if levels and isinstance(value, Mapping) and value:
        return (
            "{\n" + ",\n".join(f"{json.dumps(key)}: {_json(item, levels - 1)}" for key, item in value.items()) + "\n}"
        )
    if levels and isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
    return json.dumps(value)


def _collect() -> list[str]:
    """Take over what the programs wrote; the names."""
    found = {name: RESULTS / f"{name}.json" for name in NAMES}
    found |= {name: RESULTS.parent / file for name, (file, *_) in TABLES.items()}
    taken = [name for name, path in found.items() if path.is_file()]
    for name in taken:
        result = json.loads(found[name].read_text())
        for detail in DETAILS.get(name, ()):
            result.pop(detail, None)
        before = read(COMMITTED).get(name, {"made": None})
        if before["made"] == result["made"] and "note" in before:
            result["note"] = before["note"]  # of the same measurement, written by hand
        (COMMITTED / f"{name}.json").write_text(dumps(result))
    return taken


def main() -> None:
    """Collect, render, write."""
    parser = argparse.ArgumentParser(
        prog="make performance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    taken = _collect()
    # From the files, so that the documents are what the committed figures give.
    results: Results = read(COMMITTED)
    if not results:
        raise SystemExit(
            f"nothing to write: no {', '.join(NAMES)}.json in {RESULTS.relative_to(ROOT)} (make bench-all)"
        )
    for path, text in pages_of(results).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"written: {path.relative_to(ROOT)}")
    for name, result in results.items():
        print(f"  {name:9} {result['made']['date']}{'' if name in taken else ', kept from before'}")


if __name__ == "__main__":
    main()
