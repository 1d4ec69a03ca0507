"""Writing files and folders so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import SetupError


def write_atomically(path: str | Path, data: bytes) -> None:
    """Put `data` in the file `path`, replacing what was there in one step.

    Args:
        path: the file to write; its folder must exist.
        data: the whole content.

    Raises:
        SetupError: the file cannot be written; what was at `path` is untouched.
    """
    path = Path(path)
    # In the same folder, since a rename is atomic within one file system only.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextmanager
def replaced_folder(directory: Path) -> Iterator[Path]:
    """A path to make a folder at, which takes the place of `directory` at the end; removed where it fails."""
    place = directory.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, since a rename is atomic within one file system only.
        scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    except OSError as error:
        raise SetupError(f"cannot write {directory}: {error.strerror}; name a folder elsewhere") from error
    try:
        yield scratch / "new"
        try:
            if place.is_dir() and any(place.iterdir()):
                place.rename(scratch / "old")
            (scratch / "new").rename(place)
        except BaseException:
            if (scratch / "old").exists() and not place.exists():
                (scratch / "old").rename(place)
            raise
    except OSError as error:  # shutil.Error too
        raise SetupError(f"cannot write {directory}: {error.strerror or error}; name a folder elsewhere") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
