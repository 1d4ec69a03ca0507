"""docs/performance.md from what the benchmarks wrote: `make performance`.

Every build/bench/NAME.json that there is takes its place in docs/performance.json; a program that was not run again
keeps its last result there, with its own date. The document is made of that file alone, and a test holds that it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.machine import RESULTS, ROOT
from benchmarks.perf.sections import Results, render

DATA = ROOT / "docs" / "performance.json"
DOCUMENT = ROOT / "docs" / "performance.md"
NAMES = ("load", "peer", "loadgen", "roofline")


def collect(folder: Path, before: Results) -> dict[str, Any]:
    """What is new in the folder, in place of what was before."""
    found = {name: json.loads(path.read_text()) for name in NAMES if (path := folder / f"{name}.json").is_file()}
    return {name: {**before, **found}[name] for name in NAMES if name in before or name in found}


def dumps(results: Results) -> str:
    """As JSON with a case a line, for a file that is small and whose changes can be read."""
    return _json(results, 4) + "\n"


def _json(value: Any, levels: int) -> str:
    if levels and isinstance(value, Mapping) and value:
        return (
            "{\n" + ",\n".join(f"{json.dumps(key)}: {_json(item, levels - 1)}" for key, item in value.items()) + "\n}"
        )
    if levels and isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
    return json.dumps(value)


def main() -> None:
    """Collect, render, write."""
    parser = argparse.ArgumentParser(
        prog="make performance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    before = json.loads(DATA.read_text()) if DATA.is_file() else {}
    results = collect(RESULTS, before)
    if not results:
        raise SystemExit(
            f"nothing to write: no {', '.join(NAMES)}.json in {RESULTS.relative_to(ROOT)} (make bench-all)"
        )
    DATA.write_text(dumps(results))
    # From the file, so that the document is what the committed figures give.
    DOCUMENT.write_text(render(json.loads(DATA.read_text())))
    for name, result in results.items():
        kept = "" if (RESULTS / f"{name}.json").is_file() else ", kept from before"
        print(f"  {name:9} {result['made']['date']}{kept}")
    print(f"written to {DATA.relative_to(ROOT)} and {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
