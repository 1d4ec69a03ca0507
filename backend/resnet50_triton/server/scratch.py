"""A server's temporary files and shared memory, which are removed however the server ends.

A server has a folder for its files and a prefix for its regions in /dev/shm. Beside either lies a file that is locked
for as long as a process of it lives: the lock is inherited by tritonserver and the models' processes. What has such a
file that no process holds was left by a killed server, and the next one of the same user removes it. Locks tell
that in containers too, which share a place but not their process numbers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from ..errors import SetupError

SHM = Path("/dev/shm")
_FOLDER, _REGIONS = "resnet50-server-", "resnet50_"
_LOCK, _SHM_LOCK = "lock", ".lock"  # in the folder; after a name in /dev/shm
# Triton (2.51) hands paths to its models' processes through a shell, without quotes, and they read them as ASCII.
SAFE = re.compile(r"[A-Za-z0-9/._+=@%-]+")
_FALLBACKS = ("/tmp", "/var/tmp")
_LONGEST = 46  # of a folder's path, so that the names of sockets in a server's folder do not become too long
SHM_LEAST_BYTES = 8 << 20  # what the models' processes take of /dev/shm at once


class Scratch:
    """A folder and a prefix for regions, removed at the end; a context manager.

    Attributes:
        folder: for files; its path is one that Triton can pass on.
        shm_prefix: what the names of the regions in /dev/shm have to begin with.
        locks: file descriptors to be inherited by the processes that use it.

    Raises:
        SetupError: there is no place to write to.
    """

    def __init__(self) -> None:
        base = _temporary_folder()
        remove_orphans(base)
        name = secrets.token_hex(4)
        self.folder = base / f"{_FOLDER}{name}"
        self.shm_prefix = f"{_REGIONS}{name}_"
        self._shm_lock = SHM / f"{_REGIONS}{name}{_SHM_LOCK}"
        self.locks: list[int] = []
        try:
            self._take_folder()
            self._take_regions()
        except BaseException:
            self.close()
            raise

    def _take_folder(self) -> None:
        # Locked before it has its name, since the name is what others look for.
        hidden = self.folder.with_name(f".{self.folder.name}")
        try:
            hidden.mkdir(0o700)
            self._lock(hidden / _LOCK)
            hidden.rename(self.folder)
        except OSError as error:
            shutil.rmtree(hidden, ignore_errors=True)
            raise cannot_write(hidden.parent, error) from error

    def _take_regions(self) -> None:
        hidden = SHM / f".{self._shm_lock.name}"
        try:
            free = shutil.disk_usage(SHM).free
            self._lock(hidden)
            hidden.rename(self._shm_lock)
        except OSError as error:
            raise SetupError(
                f"cannot write to {SHM}, through which Triton and its models exchange tensors: {error.strerror}; mount "
                f"a tmpfs there that user {os.getuid()} may write to (docker run --shm-size=1g; in Kubernetes an "
                "emptyDir of medium Memory, with fsGroup)"
            ) from error
        if free < SHM_LEAST_BYTES:
            raise SetupError(
                f"{SHM}, through which Triton and its models exchange tensors, has {free >> 20} MiB free, at least "
                f"{SHM_LEAST_BYTES >> 20} are needed; make it larger (docker run --shm-size=1g)"
            )

    def _lock(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.locks.append(fd)
        fcntl.flock(fd, fcntl.LOCK_EX)

    def remove_regions(self) -> None:
        """Remove the regions, whose processes have ended."""
        _remove_regions(self.shm_prefix)

    def close(self) -> None:
        """Remove all of it."""
        self.remove_regions()
        with contextlib.suppress(OSError):
            self._shm_lock.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        for fd in self.locks:
            os.close(fd)
        self.locks = []

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def cannot_write(folder: Path, error: OSError) -> SetupError:
    """What to say where temporary files cannot be written."""
    return SetupError(f"cannot write to {folder}: {error.strerror or error}; make room, or name another: TMPDIR=...")


def safe_path(path: Path, scratch: Scratch) -> Path:
    """A path to the same folder that Triton can pass on: itself, or a link to it."""
    if SAFE.fullmatch(str(path)):
        return path
    link = scratch.folder / "linked"
    with contextlib.suppress(FileExistsError):  # from the server before this one, in the same place
        link.symlink_to(path.resolve())
    return link


def remove_orphans(base: Path) -> None:
    """Remove what servers of this user left that were killed with all their processes."""
    for lock in base.glob(f"{_FOLDER}*/{_LOCK}"):
        with _orphan(lock) as is_orphan:
            if is_orphan:
                shutil.rmtree(lock.parent, ignore_errors=True)
    for lock in SHM.glob(f"{_REGIONS}*{_SHM_LOCK}"):
        with _orphan(lock) as is_orphan:
            if is_orphan:
                _remove_regions(f"{lock.stem}_")
                lock.unlink(missing_ok=True)  # last: were this ended half-way, the rest would still be found


def _remove_regions(prefix: str) -> None:
    for region in SHM.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            region.unlink()


@contextlib.contextmanager
def _orphan(lock: Path) -> Iterator[bool]:
    """Whether the file is ours and no process holds it; if so, we do meanwhile."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # it has just gone, or is another user's
        yield False
        return
    try:
        is_ours = os.fstat(fd).st_uid == os.getuid()
        if is_ours:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield is_ours
    except BlockingIOError:
        yield False
    finally:
        os.close(fd)


def _temporary_folder() -> Path:
    """The folder for temporary files, or another where a server cannot use that one."""
    try:
        named = tempfile.gettempdir()
    except OSError as error:
        raise SetupError(f"there is no folder for temporary files: {error.strerror}; name one: TMPDIR=...") from error
    reasons = {path: _why_not(path) for path in (named, *_FALLBACKS)}
    for path, why in reasons.items():
        if not why:
            return Path(path)
    told = ", ".join(f"{path} ({why})" for path, why in reasons.items())
    raise SetupError(f"there is no folder for the server's temporary files: {told}; name another folder: TMPDIR=...")


def _why_not(path: str) -> str:
    """Why a server cannot have its files in a folder; "" where it can."""
    if not SAFE.fullmatch(path) or len(path) > _LONGEST:
        return f"Triton can pass on at most {_LONGEST} letters, digits and ._+=@%-"
    if not os.access(path, os.W_OK | os.X_OK):
        return "this user may not write to it"
    if os.statvfs(path).f_flag & os.ST_NOEXEC:  # the models' processes and batchstrategy.so are started from it
        return "mounted noexec; docker run --tmpfs /tmp:exec"
    return ""
