"""What docs/client.md says is what happens: its commands are understood, its programs and its examples/ run."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from client_support import Run
from resnet50_client.cli import build_parser
from resnet50_client.commands import COMMANDS as KNOWN
from resnet50_triton.server.process import Server

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "client.md").read_text()
EXAMPLES = ROOT / "examples"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


COMMANDS = [line for block in blocks("console") for line in block.splitlines() if "resnet50-client" in line]
PROGRAMS = blocks("python")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command: str) -> None:
    words = shlex.split(command[command.index("resnet50-client") :])
    assert build_parser().parse_args(words[1:]).command in KNOWN


@pytest.fixture
def folder(jpegs: list[Path], tmp_path: Path) -> Path:
    """A working directory with photo.jpg and photos/."""
    (tmp_path / "photos").mkdir()
    shutil.copy(jpegs[0], tmp_path / "photo.jpg")
    shutil.copy(jpegs[1], tmp_path / "photos")
    return tmp_path


@pytest.mark.server
@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_programs_run(server: Server, folder: Path, stock_ranks: dict[str, list[int]], number: int) -> None:
    program = PROGRAMS[number].replace("localhost:8001", server.grpc_url)
    assert server.grpc_url in program
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert str(stock_ranks["noise 0.jpg"][0]) in done.stdout


@pytest.mark.server
def test_probabilities_of_the_logits(server: Server, sample: Path, tmp_path: Path, run: Run) -> None:
    images = sample / "images"
    words = ("--labels", images / "labels.txt", "--url", server.grpc_url, "--logits", tmp_path / "logits.npy")
    assert run("accuracy", images, *words).returncode == 0
    beside = tmp_path / "logits.files.csv"
    head, first, second, *others = beside.read_text().splitlines()
    several, none = f'"a, #b",{first.split(",")[1]} 5', f"{second.split(',')[0]},"  # as ReaL has labels
    beside.write_text("\n".join([head, several, none, *others]))
    program = EXAMPLES / "probabilities.py"
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 0.5 < float(done.stdout) <= 1  # as sure as it is right on the sample


@pytest.mark.server
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed (apt-get install curl)")
def test_curl(server: Server, folder: Path, stock_ranks: dict[str, list[int]]) -> None:
    """The five best: by id, of the bare file; by name, of a file behind JSON."""
    answers = []
    for script in (*blocks("bash"), (EXAMPLES / "classify.sh").read_text()):
        script = script.replace("localhost:8000", server.http_url)
        done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, timeout=120, check=True, text=True)
        answers.append(done.stdout)
    bare, named = answers
    (output,) = json.loads(named)["outputs"]
    ranks = stock_ranks["noise 0.jpg"][:5]
    assert output["name"] == "LOGITS"
    assert [int(line.split(":")[1]) for line in output["data"]] == ranks
    assert [int(line.split()[0]) for line in bare.splitlines()] == ranks
