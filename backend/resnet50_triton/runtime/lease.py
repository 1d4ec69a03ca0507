"""Who may use a card now: one process at a time, agreed on by locks on files.

Every process that has a card open is entered beside it. A card's users must want the same xclbin, with one exception:
while a model is loaded anew, its old and its new version may differ, so that the new one can be tried before the old
one goes. The holder hands the card over between two starts as soon as another wants it, so two models with one image
share a card start by start. The locks are flocks: the kernel drops them with the process, however it ends.

An Alveo is shared by all processes of the machine that see the same directory; the software cards of a server exist
in that server only.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import CardError

ENVIRONMENT = "RESNET50_RUNTIME"  # the directory of the locks on Alveos
SERVER_ENVIRONMENT = "RESNET50_SERVER_RUNTIME"  # of those on software cards; `resnet50-pynq serve` sets it
# How long another process may take to hand a card over: it ends the start that runs, and programming takes seconds.
HAND_OVER_S = 60.0
_POLL_S = 0.5e-3
_numbers = itertools.count()


@dataclass(frozen=True)
class User:
    """A process that has a card open, and what it wants on it."""

    pid: int
    server: int  # the pid of its tritonserver, or its own
    model: str
    xclbin: str
    uuid: str
    kind: str = "model"  # or "command": one that uses a card without Triton

    def __str__(self) -> str:
        return f"{self.kind} '{self.model}' (process {self.pid}) with {self.xclbin} (UUID {self.uuid})"


def server_directory(server: int) -> Path:
    """Where a server's processes keep what is theirs; what dead servers left is removed."""
    base = Path(os.environ.get(SERVER_ENVIRONMENT) or _base())
    for old in base.glob("server-*"):
        if not Path("/proc", old.name.rpartition("-")[2]).exists():
            shutil.rmtree(old, ignore_errors=True)
    directory = base / f"server-{server}"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def runtime_directory(card: str, server: int) -> Path:
    """Where a card's locks are: one place for an Alveo, one for each server for a software card."""
    kind, _, index = card.partition(":")
    return (Path(_base()) if kind == "xrt" else server_directory(server)) / f"{kind}-{index}"


def _base() -> str:
    return os.environ.get(ENVIRONMENT) or f"{tempfile.gettempdir()}/resnet50-cards-{os.getuid()}"


class Lease:
    """One process's share in a card. `acquire`, `contended` and `release` are for one thread.

    Args:
        directory: of this card's locks.
        card: its name, for messages.
        user: who we are.

    Raises:
        CardError: the card is in use with another xclbin, or the directory cannot be used.
    """

    def __init__(self, directory: Path, card: str, user: User) -> None:
        self._card = card
        self._user = user
        self._directory = directory
        self.held = False
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._holder = _open(directory / "holder")
            self._want = _open(directory / "want")
            self._entry_path = directory / f"user-{user.pid}-{next(_numbers)}"
            with _Locked(directory / "entries"):
                self._refuse_other_image()
                self._entry = _open(self._entry_path)
                os.write(self._entry, json.dumps(asdict(user)).encode())
                fcntl.flock(self._entry, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._files: tuple[int, ...] = (self._entry, self._holder, self._want)
        except OSError as error:
            raise CardError(f"card '{card}': cannot use the locks in {directory}: {error}") from error

    def _refuse_other_image(self) -> None:
        for other in self.others():
            same_model = (other.server, other.model) == (self._user.server, self._user.model)
            if other.uuid != self._user.uuid and not same_model:
                raise CardError(
                    f"card '{self._card}' is in use by {other}; it cannot hold {self._user.xclbin} (UUID "
                    f"{self._user.uuid}) for {self._user.kind} '{self._user.model}' as well: use another card, or the "
                    "same xclbin"
                )

    def others(self) -> list[User]:
        """The other users of the card; entries of processes that are gone are removed."""
        users = []
        for path in self._directory.glob("user-*"):
            if path == self._entry_path:
                continue
            with suppress(OSError, ValueError, TypeError):  # just being made, or just being removed
                entry = os.open(path, os.O_RDWR)
                try:
                    if _try_lock(entry):
                        path.unlink()
                    else:
                        users.append(User(**json.loads(os.pread(entry, 65536, 0))))
                finally:
                    os.close(entry)
        return users

    def contended(self) -> bool:
        """Whether another process waits for the card that we hold."""
        if _try_lock(self._want):
            fcntl.flock(self._want, fcntl.LOCK_UN)
            return False
        return True

    def acquire(self, timeout_s: float) -> None:
        """Wait until the card is ours.

        Raises:
            CardError: the other process did not hand it over in time.
        """
        deadline_s = time.monotonic() + timeout_s
        self._poll(self._want, deadline_s)
        try:
            self._poll(self._holder, deadline_s)
        finally:
            fcntl.flock(self._want, fcntl.LOCK_UN)
        self.held = True

    def _poll(self, file: int, deadline_s: float) -> None:
        while not _try_lock(file):
            if time.monotonic() > deadline_s:
                users = ", ".join(map(str, self.others())) or "nobody who is still there"
                raise CardError(f"card '{self._card}' was not handed over in time; it is in use by {users}")
            time.sleep(_POLL_S)

    def release(self) -> None:
        """Let the next process have the card."""
        fcntl.flock(self._holder, fcntl.LOCK_UN)
        self.held = False

    def close(self) -> None:
        """Leave the card to the others for good; again is harmless."""
        with suppress(OSError):
            self._entry_path.unlink()
        files, self._files = self._files, ()
        for file in files:
            os.close(file)
        self.held = False


class _Locked:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._file = _open(self._path)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
