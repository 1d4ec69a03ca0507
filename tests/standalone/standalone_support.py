"""The command `resnet50-pynq` as a process of its own, and what to run it on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def command(*words: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; `environment` is added to this process's."""
    return subprocess.run(
        [sys.executable, "-m", "resnet50_triton.cli", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def deployment(directory: Path) -> tuple[object, ...]:
    """The options that name the sample's files."""
    return ("--xclbin", directory / "card.xclbin", "--fcweights", directory / "fcweights.csv")


def foreign_image(sample: Path, target: Path) -> Path:
    """A sound xclbin that is not for software cards."""
    data = (sample / "card.xclbin").read_bytes()
    target.write_bytes(data.replace(b'target="software"', b'target="hw"      '))  # of equal length: no offset changes
    return target
