"""A real Alveo, found by index and checked before use: PYNQ's own XrtDevice, or ours under a newer XRT."""

from __future__ import annotations

import re
from typing import Any

from pynq._3rdparty import xrt
from pynq.pl_server.xrt_device import XrtDevice

from ..errors import BadXclbin, CardNotFound
from ..xclbin.kernel_info import KernelInfo
from .probe import probed_devices
from .xrt_native import NativeXrtDevice
from .xrt_version import find_way


def open_device(index: int, threads: int | None = None) -> Any:  # noqa: ARG001  an Alveo computes without the CPU
    """The Alveo of this index.

    Raises:
        CardNotFound: XRT is not set up or unsuitable, or it finds or opens no such card.
    """
    way = find_way()
    lacking = way.lacking
    if lacking is None:
        cards = _devices()
        if index < len(cards):
            refused = _refused(cards[index])
            if refused is None:
                return cards[index]
            lacking = f"XRT cannot open it{refused}; may this user read and write /dev/dri/renderD*?"
        else:
            found = ", ".join(f"xrt:{i}" for i in range(len(cards))) or "none ('xbutil examine' lists what XRT sees)"
            lacking = f"XRT finds no such card; found: {found}"
    raise CardNotFound(
        f"card 'xrt:{index}': {lacking}; without an Alveo, card 'software:{index}' computes the same on the CPU"
    )


def reset_device(device: Any) -> None:
    """Close the card and open it again: the driver then ends what this process had on it, and frees its memory.

    The caller programs it again. Not tried on a real card: where the FPGA itself hangs, `xbutil reset` may be needed.
    """
    if isinstance(device, NativeXrtDevice):
        device.reopen()
        return
    device.close()
    device.active_bos.clear()
    device._bo_cache.clear()
    device.contexts = {}
    device._get_handle()


def count_devices() -> int:
    """How many cards "xrt:*" stands for."""
    return len(_devices()) if find_way().lacking is None else 0


def _refused(device: Any) -> str | None:
    """What XRT says where it does not open a card, in brackets; None where it does."""
    if isinstance(device, NativeXrtDevice):
        try:
            device.open()
        except RuntimeError as error:
            return f" ({error})"
        return None
    return "" if device.handle is not None and not device.handle else None  # None is closed; PYNQ opens it again


def _devices() -> list[Any]:
    return [device for device in probed_devices() if isinstance(device, XrtDevice | NativeXrtDevice)]


def check_xclbin(device: Any, xclbin: KernelInfo) -> None:
    """Compare what a card has with what an xclbin needs, before it is programmed.

    Args:
        device: an Alveo, as `open_device` gives it.
        xclbin: what is to be programmed.

    Raises:
        BadXclbin: it is for software cards, for emulation, or for another platform (shell).
    """
    card = f"card 'xrt:{device._index}'"
    needed = "hw_emu" if xrt.XRT_EMULATION else "hw"
    if xclbin.target != needed:
        kind = "XRT's emulation of" if xrt.XRT_EMULATION else "a real"
        advice = "; to serve this file name card 'software:0'" if xclbin.target == "software" else ""
        raise BadXclbin(
            f"{xclbin.path}: this xclbin is for target {xclbin.target}, {card} is {kind} {device.name} and needs "
            f"one for target {needed}{advice}"
        )
    if not same_platform(device.name, xclbin.platform):
        raise BadXclbin(
            f"{xclbin.path}: this xclbin is for platform {xclbin.platform}, {card} has the shell {device.name}; flash "
            "the shell that the xclbin needs ('xbmgmt program --base'), or link the kernel for this one"
        )


def same_platform(shell: str, platform: str) -> bool:
    """Whether an xclbin for `platform` fits a card with `shell`.

    The names of shells in one piece, as xilinx_u250_xdma_201830_2, are those of their platforms. A shell in two stages,
    as xilinx_u250_gen3x16_xdma_shell_4_1, fits each platform of its version, as xilinx_u250_gen3x16_xdma_4_1_202210_1.
    """
    version = re.sub(r"_shell_", "_", shell)
    return platform == shell or (version != shell and platform.startswith(f"{version}_"))
