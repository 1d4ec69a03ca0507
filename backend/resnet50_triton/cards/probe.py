"""PYNQ's list of devices, probed safely."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from pynq.pl_server.device import Device, DeviceMeta
from pynq.pl_server.xrt_device import XrtDevice

from .xrt_version import find_way

_lock = threading.Lock()


def probed_devices() -> list[Any]:
    """Return PYNQ's own list of devices, probing them the first time.

    PYNQ keeps the list that it has when a probe fails, which would hide every card for the life of the process: here
    a failed probe is forgotten. Where XRT is too new for PYNQ's XrtDevice, ours takes its place. XrtDevice wants an
    event loop in the probing thread, so that one is made where missing.

    Returns:
        The list itself: a card appended to it is listed by `Device.devices`.
    """
    with _lock:
        if hasattr(Device, "_devices"):
            return Device.devices  # type: ignore[no-any-return]
        _choose_alveos()
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


def _choose_alveos() -> None:
    """Leave PYNQ one class that looks for Alveos: its own would call functions that a newer XRT does not have."""
    way = find_way()
    if way.native:
        DeviceMeta._subclasses.pop(XrtDevice._probe_priority_, None)
        if way.lacking is None:
            from .xrt_native import NativeXrtDevice

            DeviceMeta._subclasses[XrtDevice._probe_priority_] = SimpleNamespace(_probe_=NativeXrtDevice.probe)
