"""PYNQ's list of devices, probed safely."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from pynq.pl_server.device import Device

_lock = threading.Lock()


def probed_devices() -> list[Any]:
    """Return PYNQ's own list of devices, probing them the first time.

    PYNQ keeps the list that it has when a probe fails, which would hide every card for the life of the process: here
    a failed probe is forgotten. XrtDevice wants an event loop in the probing thread, so that one is made where missing.

    Returns:
        The list itself: a card appended to it is listed by `Device.devices`.
    """
    with _lock:
        if hasattr(Device, "_devices"):
            return Device.devices  # type: ignore[no-any-return]
        new_loop = None
        if threading.current_thread() is not threading.main_thread():
            new_loop = asyncio.new_event_loop()
            asyncio.set_event_loop(new_loop)
        try:
            return Device.devices  # type: ignore[no-any-return]
        except BaseException:
            if hasattr(Device, "_devices"):
                del Device._devices
            raise
