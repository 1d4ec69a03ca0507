"""The tutorial, from its first command to its last, as a newcomer would go through it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from resnet50_triton.server.process import Ports

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
SHOWN = re.findall(r"```text\n(.*?)```", TUTORIAL, re.S)
STEPS = re.findall(r"```(console|python)\n(.*?)```", TUTORIAL, re.S)
PORTS = Ports.free()
STARTS = {  # what is added to each, to keep to itself; and every way to name ports is used once
    "make serve": "ARGS='--sample build/sample --free-ports'",
    "resnet50-pynq serve": f"--host {PORTS.host} --http-port {PORTS.http} --grpc-port {PORTS.grpc} "
    f"--metrics-port {PORTS.metrics} --models model_repository",
}

pytestmark = [pytest.mark.server, pytest.mark.long]


@pytest.fixture
def place(sample: Path, tmp_path: Path) -> Path:
    """A folder that looks like the checkout, with the reader's photos."""
    if not (Path(sys.prefix) / ".packages").exists():
        pytest.skip(f"{sys.prefix} was not made by `make`")
    for name in ("Makefile", "backend", "client", "model_repository", "deploy"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "sample").symlink_to(sample)
    (tmp_path / "photos").mkdir()
    for thing, name in (("zebra_stripes", "zebra"), ("wall_clock", "clock")):
        shutil.copy(sample / "images" / f"{thing}_02.JPEG", tmp_path / "photos" / f"{name}.jpg")
    return tmp_path


def shell(script: str, place: Path) -> subprocess.Popen[str]:
    """A process group of its own, as a terminal gives to a command; errors go where the output goes."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    # The environment is as it is: the tutorial's `make` is not to install anything during the tests.
    clean["MAKEFLAGS"] = "-o .venv/.packages"
    return subprocess.Popen(
        ["bash", "-ec", f". .venv/bin/activate; {script}"],
        cwd=place,
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(script: str, place: Path) -> str:
    process = shell(script, place)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, f"{script}\n{output}"
    return output


@contextlib.contextmanager
def serving(script: str, place: Path) -> Iterator[str]:
    """A server of the tutorial, ended by Ctrl-C; gives its gRPC address."""
    process = shell(script, place)
    assert process.stdout
    seen = []
    try:
        for line in process.stdout:
            seen.append(line)
            if address := re.match(r" +gRPC +(\S+)", line):
                break
        else:
            pytest.fail(f"{script}\n{''.join(seen)}")
        yield address[1]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert "ending ..." in output


def test_every_step(place: Path) -> None:
    url, outputs = "", {}
    with contextlib.ExitStack() as terminal:
        for language, text in STEPS:
            if language == "python":
                (place / "call.py").write_text(text.replace("localhost:8001", url))
                outputs["python"] = run("python call.py", place)
                continue
            for line in text.splitlines():
                start = next((start for start in STARTS if line.startswith(start)), None)
                if start:
                    terminal.close()
                    url = terminal.enter_context(serving(f"{line} {STARTS[start]}", place))
                else:
                    address = f" --url {url}" if line.startswith("resnet50-client") else ""
                    outputs[line] = run(line + address, place)
    printed = {line.rstrip() for output in outputs.values() for line in output.splitlines()}
    assert len(SHOWN) == 2
    assert {line for text in SHOWN for line in text.splitlines()} <= printed
    assert "zebra stripes" in outputs["python"]
    assert "wall clock" in outputs["python"]
    assert "Top-1" in (place / "report.html").read_text()
    (profile,) = (output for line, output in outputs.items() if "--profile" in line)
    assert re.search(r"^busy: .*card \d+ %", profile, re.M)
    assert (place / "run.trace.json").exists()
