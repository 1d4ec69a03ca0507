"""docs/performance.md from what the benchmarks wrote: `make performance`.

Every build/bench/NAME.json that there is takes the place of benchmarks/results/NAME.json; a program that was not run
again keeps its last result there, with its own date. The document is made of that folder alone, and a test holds that
it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.machine import RESULTS, ROOT
from benchmarks.perf.sections import Results, render

COMMITTED = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "performance.md"
NAMES = ("load", "baselines", "loadgen")


def read(folder: Path) -> dict[str, Any]:
    """The results in a folder, in the order of the document."""
    return {name: json.loads(path.read_text()) for name in NAMES if (path := folder / f"{name}.json").is_file()}


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


def main() -> None:
    """Collect, render, write."""
    parser = argparse.ArgumentParser(
        prog="make performance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    found = read(RESULTS)
    for name, result in found.items():
        (COMMITTED / f"{name}.json").write_text(dumps(result))
    # From the files, so that the document is what the committed figures give.
    results: Results = read(COMMITTED)
    if not results:
        raise SystemExit(
            f"nothing to write: no {', '.join(NAMES)}.json in {RESULTS.relative_to(ROOT)} (make bench-all)"
        )
    DOCUMENT.write_text(render(results))
    for name, result in results.items():
        print(f"  {name:9} {result['made']['date']}{'' if name in found else ', kept from before'}")
    print(f"written to {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
