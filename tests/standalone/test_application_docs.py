"""The commands of docs/application.md do what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from standalone_support import command

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "application.md").read_text()
COMMANDS = re.findall(r"^resnet50-pynq (.*)$", DOCUMENT, re.MULTILINE)


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command(line: str, sample: Path, tmp_path: Path) -> None:
    (tmp_path / "resnet50.xclbin").symlink_to(sample / "card.xclbin")
    (tmp_path / "fcweights.csv").symlink_to(sample / "fcweights.csv")
    (tmp_path / "labels.txt").symlink_to(sample / "images" / "labels.txt")
    (tmp_path / "photos").mkdir()
    for path in sorted((sample / "images").glob("*.JPEG"))[::10]:
        shutil.copy(path, tmp_path / "photos")
    card = ("--card", "timing:0") if "--sweep" in line else ()  # batches of 1000 take a software card minutes
    result = command(*shlex.split(line), *card, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert ("Top-1 Accuracy: " in result.stdout) == ("--labels" in line)
    assert (tmp_path / "times.csv").exists() == ("--outfile" in line)
