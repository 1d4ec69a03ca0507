"""What a server leaves is removed by the next one, if nobody lives that uses it: by locks, not by process numbers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from resnet50_triton.errors import SetupError
from resnet50_triton.server import scratch as scratch_module
from resnet50_triton.server.scratch import SHM, Scratch, remove_orphans, safe_path

# Takes a scratch, writes into it, hands its locks to a child that sleeps, tells both, and waits to be killed.
PROGRAM = """
import subprocess, sys, time
from resnet50_triton.server.scratch import SHM, Scratch
scratch = Scratch()
(scratch.folder / "file").write_text("x")
(SHM / f"{scratch.shm_prefix}region").write_bytes(bytes(1000))
child = subprocess.Popen(["sleep", "600"], pass_fds=scratch.locks, stdout=subprocess.DEVNULL)
print(scratch.folder, scratch.shm_prefix, child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of this test's own; its path is short."""
    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def left(scratch: Scratch) -> list[Path]:
    name = scratch.folder.name.removeprefix("resnet50-server-")
    return [*scratch.folder.parent.glob("*resnet50-server-*"), *SHM.glob(f"*resnet50_{name}*")]


def test_all_is_removed_at_the_end() -> None:
    with Scratch() as scratch:
        (SHM / f"{scratch.shm_prefix}region").touch()
        assert len(left(scratch)) == 3
    assert left(scratch) == []


def test_what_was_killed_is_removed_by_the_next_but_not_before_its_last_process() -> None:
    holder = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    folder, prefix, child = holder.stdout.readline().split()
    regions = [SHM / f"{prefix}region", SHM / f"{prefix[:-1]}.lock"]

    def exist() -> list[bool]:
        return [path.exists() for path in (Path(folder), *regions)]

    with Scratch():
        assert exist() == [True] * 3  # all live
    holder.kill()
    holder.communicate()
    with Scratch():
        assert exist() == [True] * 3  # the server's process holds it
    os.kill(int(child), 9)
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2]:
        pass
    with Scratch():
        assert exist() == [False] * 3


def test_other_folders_are_left_alone(temporary: Path) -> None:
    others = [temporary / name for name in ("resnet50-server-mine", "resnet50-cards-0", "resnet50-repository-x")]
    for folder in others:
        folder.mkdir()
    (temporary / "resnet50-server-linked").symlink_to(temporary)
    (others[0] / "lock").symlink_to("/etc/passwd")
    remove_orphans(temporary)
    assert all(folder.is_dir() for folder in others)


@pytest.mark.parametrize("name", ["with space", "ümlaut", "quote'd", "a;b", "dollar$HOME"])
def test_a_path_that_triton_cannot_pass_on_is_not_used(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = temporary / name
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with Scratch() as scratch:
        assert scratch.folder.parent == Path("/tmp")
        (folder / "resnet50").mkdir()
        linked = safe_path(folder, scratch)
        assert linked.parent == scratch.folder
        assert (linked / "resnet50").is_dir()
        assert safe_path(temporary, scratch) == temporary
    monkeypatch.setattr(scratch_module, "_FALLBACKS", ("/none",))
    with pytest.raises(SetupError, match=r"name another folder: TMPDIR=\.\.\."):
        Scratch()


def test_a_path_that_leaves_no_room_for_a_sockets_name_is_not_used(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = temporary / ("long" * 20)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with Scratch() as scratch:
        assert scratch.folder.parent == Path("/tmp")


def test_a_shm_that_cannot_be_used_is_told(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module, "SHM", temporary / "none")
    with pytest.raises(SetupError, match=r"cannot write to .*none, .* No such file .*--shm-size"):
        Scratch()
    monkeypatch.setattr(scratch_module, "SHM", temporary)
    monkeypatch.setattr(scratch_module, "SHM_LEAST_BYTES", 1 << 60)
    with pytest.raises(SetupError, match="MiB free"):
        Scratch()
    assert list(temporary.iterdir()) == []
