"""Checks the limits that a server inherits, before it starts: it would hang, or exit without a message."""

from __future__ import annotations

import resource

from ..errors import SetupError

# An idle server has 80 files open, and a connection takes one more.
OPEN_FILES_LEAST, OPEN_FILES_WANTED = 256, 65536
FILE_SIZE_LEAST = 1 << 30  # regions in /dev/shm are files, and grow with the batches in flight


def check_limits() -> None:
    """Raise the limit on open files as far as it may be, and hold the others to what a server needs.

    Raises:
        SetupError: a limit is too low; the message has the command that lifts it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES_LEAST:
        raise SetupError(
            f"a process may have {soft} open files here, a server needs {OPEN_FILES_LEAST} and one more for each "
            "connection; raise the limit: ulimit -n 4096 (docker run --ulimit nofile=4096, systemd LimitNOFILE=4096)"
        )
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft != resource.RLIM_INFINITY and soft < FILE_SIZE_LEAST:
        raise SetupError(
            f"a file may have {soft} bytes here, a server's regions in /dev/shm need {FILE_SIZE_LEAST}; lift the "
            "limit: ulimit -f unlimited"
        )
