"""Time and threads of the runtime. They are passed in, so that a simulation can run the same code on virtual ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


class Clock:
    """The machine's own clock and threads; locks, conditions and threads behave as those of `threading`."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def lock(self) -> Any:
        """A mutex."""
        return threading.Lock()

    def condition(self) -> Any:
        """A condition with a lock of its own."""
        return threading.Condition()

    def start_thread(self, target: Callable[..., None], *args: Any, name: str) -> Any:
        """Start a daemon thread; what is returned can be joined."""
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        thread.start()
        return thread


SYSTEM = Clock()
