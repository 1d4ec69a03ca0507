"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import threading
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
