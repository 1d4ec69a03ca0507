"""Tells systemd what this service does, where it waits to be told (`Type=notify`, sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(*states: str) -> None:
    """Send states such as `READY=1` and `STATUS=ready on software:0`; without a listener nothing happens.

    Args:
        states: assignments of sd_notify(3).
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.sendto("\n".join(states).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
