"""Waiting for a start with a deadline, whatever card it is on."""

from __future__ import annotations

import time
from typing import Any

from ..errors import CardError

_WAIT_MS = 100  # how long one wait in the driver may last
_POLL_S = 2e-4


def wait_done(handle: Any, timeout_s: float | None) -> bool:
    """Block until a start has finished, without burning a core or holding the GIL.

    PYNQ's own wait() has no timeout, and hides that the scheduler reported a failure.

    Args:
        handle: what `start()` returned: a handle of ours that can wait, PYNQ's ErtWaitHandle, or its WaitHandle where
            XRT is too old for the scheduler.
        timeout_s: how long at most; None for as long as it takes.

    Returns:
        False where the time ran out.

    Raises:
        CardError: the start failed.
    """
    if hasattr(handle, "wait_done"):
        return bool(handle.wait_done(timeout_s))
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    by_scheduler = hasattr(handle, "done")
    while not (handle.done if by_scheduler else handle.target.mmio.read(0) & 4):
        left_s = None if deadline_s is None else deadline_s - time.monotonic()
        if left_s is not None and left_s <= 0:
            return False
        if by_scheduler:  # blocks in the driver until something finishes; `done` changes in here only
            handle.device._handle_events(_WAIT_MS if left_s is None else max(1, min(_WAIT_MS, int(left_s * 1000))))
        else:
            time.sleep(_POLL_S)
    error = handle._future.exception() if by_scheduler else None
    if error is not None:
        raise CardError(f"{handle.device.tag}: {error}")
    return True
