"""The README's commands and code do what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
BIN = Path(sys.executable).parent


@pytest.fixture
def folder(sample: Path, tmp_path: Path) -> Path:
    """A folder with what the README's examples name."""
    shutil.copyfile(min((sample / "images").glob("*.JPEG")), tmp_path / "photo.jpg")
    shutil.copytree(sample / "images", tmp_path / "photos")
    shutil.move(tmp_path / "photos" / "labels.txt", tmp_path / "labels.txt")
    return tmp_path


def test_python_examples(server: Server, folder: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        code = block.replace("localhost:8001", server.grpc_url)
        result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout


def test_client_commands(server: Server, folder: Path) -> None:
    commands = re.findall(r"^resnet50-client .*?(?=\s*#|$)", README, re.M)
    assert {line.split()[1] for line in commands} >= {"classify", "accuracy"}
    for line in commands:
        argv = [str(BIN / "resnet50-client"), *line.split()[1:], "--url", server.grpc_url]
        result = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout


def test_make_targets_exist() -> None:
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    targets = set(re.findall(r"^make ([a-z-]+)", README, re.M))
    assert {"run", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target
