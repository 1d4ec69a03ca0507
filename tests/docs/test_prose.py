"""No tracked text has the old vocabulary (docs/architecture.md has the new one), and the check finds it where it is."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parents[2] / "scripts" / "check-prose"
PATTERN = runpy.run_path(str(CHECK))["PATTERN"]


@pytest.mark.skipif(not shutil.which("git"), reason="no git, which lists the texts")
def test_no_text_has_the_old_vocabulary() -> None:
    done = subprocess.run([sys.executable, CHECK], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "at most 128 images in a start of the card, no batch waits to fill",
        "a card image for the software card",
        "the canary and the oracle",
        "right answers (.txt or .csv)",
        "1 other file passed over",
        "requests under way",
        "the model is loaded anew",
        "above two kernel times",
        "no demand; at most 2.97 ms",
        "## When it says no",
    ],
)
def test_the_check_finds_the_old_words(text: str) -> None:
    assert PATTERN.search(text)


@pytest.mark.parametrize(
    "text", ["a run of 128 images", "an image is a picture", "the kernel starts", "8 files skipped"]
)
def test_the_check_lets_the_fields_words_pass(text: str) -> None:
    assert not PATTERN.search(text)
