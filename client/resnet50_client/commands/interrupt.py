"""Handles Ctrl-C: the first ends the work in order, the second ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

INTERRUPTED = 130  # the exit code


def run_until_done(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, where the first Ctrl-C cancels the work and the second waits for nothing any more.

    What is recorded of a run is on disk by then. After a Ctrl-C threads that still read a file are not waited for: they
    may hang in it for ever.

    Raises:
        KeyboardInterrupt: the work was cancelled.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    is_interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_interrupted
        if is_interrupted:
            os._exit(INTERRUPTED)
        is_interrupted = True
        loop.call_soon_threadsafe(task.cancel)

    is_main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, interrupt) if is_main else None
    try:
        done = loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        return done
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        if is_main and not is_interrupted:  # else the second one still means: at once
            signal.signal(signal.SIGINT, previous)
