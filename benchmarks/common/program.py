"""How a benchmark that starts servers ends early: they are ended too, and nothing is written."""

from __future__ import annotations

import signal
from collections.abc import Callable

INTERRUPTED = 130  # the shell's code for Ctrl-C


def run(main: Callable[[], int | None]) -> None:
    """Run a program and exit with its code; Ctrl-C and SIGTERM end it alike."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        print("\nended early: nothing is written", flush=True)
        raise SystemExit(INTERRUPTED) from None
