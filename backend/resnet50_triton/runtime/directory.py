"""The folder of a server's locks and shared files; held locks tell whose files are in use.

A number of a process means nothing to a container that shares the folder: it may stand for another process there. So a
folder is in use while a lock in it is held, which the operating system drops with the process, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

ENVIRONMENT = "RESNET50_RUNTIME"  # the folder of the locks on Alveos, one for all who use them
SERVER_ENVIRONMENT = "RESNET50_SERVER_RUNTIME"  # the folder of this server alone; `resnet50-pynq serve` sets it
_PREFIX = "server-"


def shared_directory() -> Path:
    """The folder of the locks on Alveos."""
    return Path(os.environ.get(ENVIRONMENT) or f"{tempfile.gettempdir()}/resnet50-cards-{os.getuid()}")


def process_key(pid: int) -> str:
    """A name for a process that no other process of this machine has, in whatever PID namespace it is."""
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{namespace}-{pid}"


class ServerDirectory:
    """A server's folder, made by the first of its processes and removed with the last.

    Folders of servers that are gone are removed, too.

    Args:
        server: the server's `process_key`.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, server: str) -> None:
        base = Path(os.environ.get(SERVER_ENVIRONMENT) or shared_directory())
        base.mkdir(parents=True, exist_ok=True)
        self.path = base / f"{_PREFIX}{server}"
        self._guard = base / "servers"
        with locked(self._guard):
            for folder in base.glob(f"{_PREFIX}*"):
                _remove_unused(folder)
            self.path.mkdir(exist_ok=True)
            self._held = open_file(self.path / "in-use")
            fcntl.flock(self._held, fcntl.LOCK_SH)

    def close(self) -> None:
        """Leave the folder; again is harmless."""
        if self._held >= 0:
            with locked(self._guard):
                os.close(self._held)
                self._held = -1
                _remove_unused(self.path)


def _remove_unused(folder: Path) -> None:
    """Remove a folder that no process holds."""
    with contextlib.suppress(OSError):
        in_use = open_file(folder / "in-use")
        try:
            if try_lock(in_use):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(in_use)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, which is made where it is missing."""
    file = open_file(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def open_file(path: Path) -> int:
    """Open a file of locks, made where it is missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def try_lock(file: int) -> bool:
    """Lock a file, unless another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
