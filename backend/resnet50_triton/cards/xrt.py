"""A real Alveo: PYNQ's own XrtDevice, found by index, and what has to fit before it is used."""

from __future__ import annotations

import os
import re
from importlib import metadata
from typing import Any

from pynq._3rdparty import xrt
from pynq.pl_server import xrt_device
from pynq.pl_server.xrt_device import XrtDevice

from ..errors import BadXclbin, CardNotFound
from ..xclbin.kernel_info import KernelInfo
from .probe import probed_devices

WORKING_PYNQ = "3.0.1"  # the last release that drives Alveo cards; from 3.1 on PYNQ finds none
OLDEST_XRT = (2, 3)  # PYNQ's own limit: older ones have no scheduler for it
TRIED_XRT = "2.13"  # in emulation, see tests/xrt

# What PYNQ calls for us; XRT drops old functions from time to time, and ctypes would notice in the middle of the work.
_CALLS = (
    "xclProbe",
    "xclOpen",
    "xclGetDeviceInfo2",
    "xclLockDevice",
    "xclUnlockDevice",
    "xclLoadXclBin",
    "xclIPName2Index",
    "xclOpenContext",
    "xclCloseContext",
    "xclAllocBO",
    "xclMapBO",
    "xclGetBOProperties",
    "xclSyncBO",
    "xclFreeBO",
    "xclExecBuf",
    "xclExecWait",
)


def open_device(index: int, threads: int | None = None) -> Any:  # noqa: ARG001  an Alveo computes without the CPU
    """The XrtDevice of this index.

    Raises:
        CardNotFound: XRT is not set up or unsuitable, or it finds or opens no such card.
    """
    lacking = _lacking()
    if lacking is None:
        cards = [device for device in probed_devices() if isinstance(device, XrtDevice)]
        if index < len(cards):
            if cards[index].handle is None or cards[index].handle:  # None is closed; PYNQ opens it again
                return cards[index]
            lacking = "XRT cannot open it; may this user read and write /dev/dri/renderD*?"
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
    device.close()
    device.active_bos.clear()
    device._bo_cache.clear()
    device.contexts = {}
    device._get_handle()


def count_devices() -> int:
    """How many cards "xrt:*" stands for."""
    return sum(isinstance(device, XrtDevice) for device in probed_devices()) if _lacking() is None else 0


def check_xclbin(device: Any, xclbin: KernelInfo) -> None:
    """Compare what a card has with what an xclbin needs, before it is programmed.

    Args:
        device: an XrtDevice.
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


def _lacking() -> str | None:
    """What keeps PYNQ from driving Alveo cards here; None where nothing does."""
    pynq = metadata.version("pynq")
    if pynq != WORKING_PYNQ:
        return (
            f"pynq {pynq} is installed, and {WORKING_PYNQ} is the release that is known to drive Alveo cards; "
            f"run 'pip install pynq=={WORKING_PYNQ}'"
        )
    if not xrt.XRT_SUPPORTED:
        if "XILINX_XRT" in os.environ:
            mode = os.environ.get("XCL_EMULATION_MODE")
            return f"PYNQ does not support XRT's emulation mode '{mode}'; unset XCL_EMULATION_MODE"
        return "XRT is not set up (XILINX_XRT is not set); run 'source /opt/xilinx/xrt/setup.sh' before this program"
    folder = os.environ["XILINX_XRT"]
    version: tuple[int, ...] = xrt_device._xrt_version
    working = f"{OLDEST_XRT[0]}.{OLDEST_XRT[1]} or newer is needed, {TRIED_XRT} is known to work with pynq {pynq}"
    if not any(version):
        return f"the version of XRT cannot be read from {folder}/version.json; {working}"
    name = ".".join(map(str, version))
    if version < OLDEST_XRT:
        return f"XRT {name} in {folder} is too old; {working}"
    missing = [call for call in _CALLS if not hasattr(xrt.libc, call)]
    if missing:
        return f"XRT {name} in {folder} has no {', '.join(missing)}, which pynq {pynq} calls; {working}"
    return None
