#!/usr/bin/env python3
"""Writes resnet50-pynq/README.md, the chart's values as a table: `python deploy/helm/readme.py`. Needs PyYAML.

A value's text is the comment behind it, or the lines of comment above it; a comment above a group belongs to the group.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).with_name("resnet50-pynq")
OUTPUT = CHART / "README.md"
_KEY = re.compile(r"(?P<indent> *)(?P<name>\w+):(?P<value>[^#\"]*(?:\"[^\"]*\")?[^#\"]*)(?:# (?P<text>.*))?$")
_LONGEST_DEFAULT = 60

HEAD = """\
# The chart `resnet50-pynq`

It installs {description}. How to choose values, and what was run:
[On Kubernetes](../../../docs/kubernetes.md).

*Not run by a test: needs a cluster; tests render and validate what it would install.*

```console
helm install fpga deploy/helm/resnet50-pynq --namespace models --create-namespace \\
    --set image.repository=registry.example.com/resnet50-pynq
helm test fpga --namespace models --logs
```

`deploy/helm/readme.py` makes this table of [values.yaml](values.yaml); `values.schema.json` refuses what does not fit.

| value | default | meaning |
|---|---|---|
"""


def rows(text: str) -> Iterator[tuple[str, str, str]]:
    """(path, default as JSON or "", meaning) of each value and each group with a comment, in the order of the file."""
    values = yaml.safe_load(text)
    group, above = "", []
    for line in text.splitlines():
        if line.strip().startswith("# "):
            above.append(line.strip()[2:])
            continue
        key = _KEY.match(line)
        if key and len(key["indent"]) in (0, 2) and (key["indent"] or not line.startswith(" ")):
            path = f"{group}.{key['name']}" if key["indent"] else key["name"]
            is_group = not key["indent"] and not key["value"].strip()
            meaning = key["text"] or " ".join(above)
            if is_group:
                group = key["name"]
            if not is_group or meaning:
                yield path, "" if is_group else _default(values, path), meaning
        above = []


def _default(values: Any, path: str) -> str:
    for name in path.split("."):
        values = values[name]
    written = json.dumps(values)
    return f"`{written}`" if len(written) <= _LONGEST_DEFAULT else "see values.yaml"


def build() -> str:
    """The page."""
    description = yaml.safe_load((CHART / "Chart.yaml").read_text())["description"]
    table = (
        f"| `{path}` | {default} | {meaning.replace('|', '/')} |\n"
        for path, default, meaning in rows((CHART / "values.yaml").read_text())
    )
    return HEAD.format(description=description) + "".join(table)


if __name__ == "__main__":
    OUTPUT.write_text(build())
    print(f"wrote {OUTPUT}")
