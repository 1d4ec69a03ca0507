"""What several tests of the client use and no fixture is needed for."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]
FEW = 200  # images of the fixture `few`
COMMAND = [sys.executable, "-m", "resnet50_client.cli"]
CORRUPT = b"\xff\xd8\xff\xe0 not much of a JPEG"


def heed_interrupts() -> None:
    """For a process that is started: a shell starts background jobs, such as this test run, deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def recorded(run_file: Path) -> int:
    """How many answers are in a run that another process has: in a copy, as a kill would leave it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.sqlite")
        for suffix in ("-wal", ""):  # in this order, a checkpoint in between puts nothing into neither
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"{run_file}{suffix}", f"{copy}{suffix}")
        try:
            with contextlib.closing(sqlite3.connect(copy)) as db:
                return int(db.execute("SELECT COUNT(*) FROM answer").fetchone()[0])
        except sqlite3.DatabaseError:  # not made yet, or copied in the midst of a write
            return 0


def wait_for_records(run_file: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many answers are in a run."""
    deadline = time.monotonic() + 300
    while recorded(run_file) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
