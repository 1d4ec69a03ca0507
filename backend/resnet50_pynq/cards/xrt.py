"""A real Alveo: PYNQ's own XrtDevice, found by index."""

from __future__ import annotations

from typing import Any

from pynq._3rdparty import xrt
from pynq.pl_server.xrt_device import XrtDevice

from ..errors import CardNotFound
from .probe import probed_devices


def open_device(index: int, threads: int | None = None) -> Any:  # noqa: ARG001  an Alveo computes without the CPU
    """The XrtDevice of this index.

    Raises:
        CardNotFound: XRT is not set up, or it finds no such card.
    """
    offer = f"without an Alveo, card 'software:{index}' computes the same on the CPU"
    if not xrt.XRT_SUPPORTED:
        raise CardNotFound(
            f"card 'xrt:{index}': XRT is not set up (XILINX_XRT is not set); run 'source /opt/xilinx/xrt/setup.sh' "
            f"before this program; {offer}"
        )
    cards = [device for device in probed_devices() if isinstance(device, XrtDevice)]
    if index >= len(cards):
        found = ", ".join(f"xrt:{i}" for i in range(len(cards))) or "none ('xbutil examine' lists what XRT sees)"
        raise CardNotFound(f"card 'xrt:{index}': XRT finds no such card; found: {found}; {offer}")
    return cards[index]
