"""Waits for a run with a deadline, on any card."""

from __future__ import annotations

import time
from typing import Any

from ..errors import CardError

_WAIT_MS = 100  # how long one wait in the driver may last
_POLL_S = 2e-4
_AP_IDLE = 4


def wait_done(handle: Any, timeout_s: float | None) -> bool:
    """Block until a run has finished, without burning a core or holding the GIL.

    PYNQ's own wait() has no timeout, and hides that the scheduler reported a failure.

    Args:
        handle: what `start()` returned: a handle of ours that can wait, PYNQ's ErtWaitHandle, or its WaitHandle where
            XRT is too old for the scheduler.
        timeout_s: how long at most; None for as long as it takes.

    Returns:
        False where the time ran out.

    Raises:
        CardError: the run failed.
    """
    if hasattr(handle, "wait_done"):
        return bool(handle.wait_done(timeout_s))
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    by_scheduler = hasattr(handle, "done")
    look = _look_by_scheduler if by_scheduler else _look_at_register
    left_s = timeout_s
    while not look(handle, left_s):
        if left_s is not None and left_s <= 0:
            return False
        left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
    error = handle._future.exception() if by_scheduler else None
    if error is not None:
        raise CardError(f"{handle.device.tag}: {error}")
    return True


def _look_by_scheduler(handle: Any, left_s: float | None) -> bool:
    """Whether the run has finished, after a wait in the driver; only that brings `done` up to date."""
    if not handle.done:
        wait_ms = _WAIT_MS if left_s is None else min(_WAIT_MS, int(left_s * 1000))
        if not wait_ms:  # the driver's clock knows no less than a millisecond
            time.sleep(max(0.0, min(_POLL_S, left_s or 0.0)))
        handle.device._handle_events(wait_ms)
    return bool(handle.done)


def _look_at_register(handle: Any, left_s: float | None) -> bool:
    if handle.target.mmio.read(0) & _AP_IDLE:
        return True
    if left_s is None or left_s > 0:
        time.sleep(_POLL_S)
    return False
