"""Processes of several PID namespaces, as those of containers, on one card and one folder: real processes and locks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = Path(__file__).with_name("lease_program.py")
_WAYS = {"own /proc": ["--mount-proc"], "/proc of the host": []}


@dataclass
class Container:
    """A process in a PID namespace of its own, where it is process 1."""

    process: subprocess.Popen[str]
    said: dict[str, Any]

    def leave(self) -> None:
        self.process.communicate("\n", timeout=60)

    def kill(self) -> None:
        """As `kill -9` of all that runs in the container."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        self.process.wait(60)


@pytest.fixture(params=list(_WAYS))
def start(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """start(uuid): a container that uses the card."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", *_WAYS[request.param]]
    if os.getuid():
        unshare[1:1] = ["--user", "--map-root-user"]
    try:
        tried = subprocess.run([*unshare, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs the command unshare")
    if tried.returncode:
        pytest.skip(f"PID namespaces are not permitted here ({tried.stderr.strip()})")
    monkeypatch.setenv("RESNET50_RUNTIME", str(tmp_path))
    monkeypatch.delenv("RESNET50_SERVER_RUNTIME", raising=False)
    with ExitStack() as stack:

        def start(uuid: str = "1") -> Container:
            command = [*unshare, sys.executable, str(_PROGRAM), str(tmp_path / "card"), uuid]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait, 60)
            stack.callback(process.kill)
            assert process.stdout is not None
            return Container(process, json.loads(process.stdout.readline()))

        yield start


Start = Callable[..., Container]


def _entries(tmp_path: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in (tmp_path / "card").glob("user-*")}


def test_a_second_container_leaves_the_first_ones_folder(start: Start, tmp_path: Path) -> None:
    first = start()
    before = _entries(tmp_path)
    second = start()
    assert first.said["pid"] == second.said["pid"] == 1
    assert first.said["folder"] != second.said["folder"]
    assert (Path(first.said["folder"]) / "card.xclbin").read_text() == "1"
    assert "not handed over in time" in second.said["error"]  # the first has it, and keeps it
    assert _entries(tmp_path).items() >= before.items()
    second.leave()
    assert _entries(tmp_path) == before
    assert (Path(first.said["folder"]) / "card.xclbin").exists()
    assert not Path(second.said["folder"]).exists()
    first.leave()
    assert not Path(first.said["folder"]).exists()


def test_another_xclbin_is_refused_and_changes_nothing(start: Start, tmp_path: Path) -> None:
    users = [start("1"), start("1")]
    before = _entries(tmp_path)
    assert len(before) == 2
    for _ in range(2):
        third = start("2")
        assert "is in use by" in third.said["error"]
        assert "UUID 1" in third.said["error"]
        assert _entries(tmp_path) == before
        third.leave()
    assert _entries(tmp_path) == before
    for user in users:
        user.leave()


def test_what_a_killed_container_had_goes_away(start: Start, tmp_path: Path) -> None:
    killed = start("1")
    killed.kill()
    assert Path(killed.said["folder"]).exists()
    assert Path(killed.said["entry"]).exists()
    after = start("2")
    assert "error" not in after.said  # its xclbin and its lock went with it
    assert list(_entries(tmp_path)) == [after.said["entry"]]
    assert not Path(killed.said["folder"]).exists()
    after.leave()
