"""The lease on a card: one process at a time may use it, by locks on files.

Every process that has a card open has an entry beside it: a file of its own that it holds locked. A card's users must
want the same xclbin, with one exception: while a model is reloaded, its old and its new version may differ, so that the
new one can be tried before the old one goes. The holder lends the card between two runs as soon as another process
waits for it, so two models with one xclbin share a card run by run.

An Alveo is shared by all processes of the machine that see the same folder, containers among them; the software cards
of a server exist in that server only.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import CardError
from .directory import locked, open_file, shared_directory, try_lock

# How long another process may take to hand a card over: it ends the run on it, and programming takes seconds.
HAND_OVER_S = 60.0
_POLL_S = 0.5e-3


@dataclass(frozen=True)
class User:
    """A process that has a card open, and what it wants on it."""

    server: str  # the `process_key` of its tritonserver, or its own
    model: str
    xclbin: str
    uuid: str
    kind: str = "model"  # or "command": one that uses a card without Triton
    pid: int = 0  # in its own PID namespace; for messages only
    host: str = ""

    @classmethod
    def here(cls, server: str, model: str, xclbin: str, uuid: str, kind: str = "model") -> User:
        """This process."""
        return cls(server, model, xclbin, uuid, kind, os.getpid(), socket.gethostname())

    def __str__(self) -> str:
        return f"{self.kind} '{self.model}' (process {self.pid} of {self.host}) with {self.xclbin} (UUID {self.uuid})"


def card_directory(card: str, server_directory: Path) -> Path:
    """Where a card's locks are: one place for an Alveo, one for each server for any other card."""
    kind, _, index = card.partition(":")
    return (shared_directory() if kind == "xrt" else server_directory) / f"{kind}-{index}"


class Lease:
    """One process's share in a card. `acquire`, `contended` and `release` are for one thread.

    Args:
        directory: of this card's locks.
        card: its name, for messages.
        user: who we are.
        now: the clock, in seconds.
        sleep: waits for some seconds.

    Raises:
        CardError: the card is in use with another xclbin, or the directory cannot be used.
    """

    def __init__(
        self,
        directory: Path,
        card: str,
        user: User,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._card, self._user, self._directory = card, user, directory
        self._now, self._sleep = now, sleep
        self.held = False
        self._files: list[int] = []
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with locked(directory / "entries"):
                self._refuse_other_xclbin()
                entry, name = tempfile.mkstemp(prefix="user-", dir=directory)
                self.entry = Path(name)
                self._files.append(entry)
                os.fchmod(entry, 0o666)  # other users of the card read it
                fcntl.flock(entry, fcntl.LOCK_EX)
                os.write(entry, json.dumps(asdict(user)).encode())
            self._holder, self._want = open_file(directory / "holder"), open_file(directory / "want")
            self._files += [self._holder, self._want]
        except OSError as error:
            self.close()
            raise CardError(f"card '{card}': cannot use the locks in {directory}: {error}") from error

    def _refuse_other_xclbin(self) -> None:
        for other in self._users():
            same_model = (other.server, other.model) == (self._user.server, self._user.model)
            if other.uuid != self._user.uuid and not same_model:
                raise CardError(
                    f"card '{self._card}' is in use by {other}; it cannot hold {self._user.xclbin} (UUID "
                    f"{self._user.uuid}) for {self._user.kind} '{self._user.model}' as well: use another card, or the "
                    "same xclbin"
                )

    def others(self) -> list[User]:
        """The other users of the card; entries of processes that are gone are removed."""
        with locked(self._directory / "entries"):
            return self._users()

    def _users(self) -> list[User]:
        users = []
        for path in self._directory.glob("user-*"):
            if self._files and path == self.entry:
                continue
            with suppress(OSError, ValueError, TypeError):
                entry = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    if try_lock(entry):
                        path.unlink()
                    else:
                        users.append(User(**json.loads(os.pread(entry, 65536, 0))))
                finally:
                    os.close(entry)
        return users

    def contended(self) -> bool:
        """Whether another process waits for the card that we hold."""
        if try_lock(self._want):
            fcntl.flock(self._want, fcntl.LOCK_UN)
            return False
        return True

    def acquire(self, timeout_s: float) -> None:
        """Wait until the card is ours. Raises CardError where the other process does not hand it over in time."""
        deadline_s = self._now() + timeout_s
        self._poll(self._want, deadline_s)
        try:
            self._poll(self._holder, deadline_s)
        finally:
            fcntl.flock(self._want, fcntl.LOCK_UN)
        self.held = True

    def _poll(self, file: int, deadline_s: float) -> None:
        while not try_lock(file):
            if self._now() > deadline_s:
                users = ", ".join(map(str, self.others())) or "nobody who is still there"
                raise CardError(f"card '{self._card}' was not handed over in time; it is in use by {users}")
            self._sleep(_POLL_S)

    def release(self) -> None:
        """Let the next process have the card."""
        fcntl.flock(self._holder, fcntl.LOCK_UN)
        self.held = False

    def close(self) -> None:
        """Leave the card to the others for good; again is harmless."""
        files, self._files = self._files, []
        if files:
            self.entry.unlink(missing_ok=True)
        for file in files:
            os.close(file)
        self.held = False
