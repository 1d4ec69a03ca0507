"""PYNQ's Overlay on a card, made callable on every Python."""

from __future__ import annotations

from typing import Any

from pynq import Overlay
from pynq.pl_server.xclbin_parser import XclBin
from pynq.pl_server.xrt_device import XrtDevice

from ..cards.xrt import check_xclbin
from ..errors import BadXclbin
from ..xclbin.kernel_info import KernelInfo


def load_overlay(xclbin: KernelInfo, device: Any) -> Any:
    """Load an xclbin on a card, as an Overlay whose kernel can be called.

    The kernel's first argument is named `in`, a Python keyword, which Python 3.11 refuses as a parameter's name when
    PYNQ makes the kernel's driver. It is renamed `in_r`, as Vitis HLS itself does, before PYNQ's first look at it.

    Args:
        xclbin: as it was read; PYNQ opens its file once more.
        device: the card, as `cards.open_card` gives it.

    Returns:
        The `pynq.Overlay`.

    Raises:
        BadXclbin: the file is damaged, another one than was read, or not for this card.
    """
    if isinstance(device, XrtDevice):
        check_xclbin(device, xclbin)
    else:
        device.expect(xclbin)
    _check_readable(xclbin)
    overlay = Overlay(str(xclbin.path), device=device)
    for kernel in overlay._ip_map._description["ip"].values():
        if "in" in kernel["registers"]:
            kernel["registers"]["in_r"] = kernel["registers"].pop("in")
    return overlay


def _check_readable(xclbin: KernelInfo) -> None:
    """Try PYNQ's parser, which looks at more than we do and takes a damaged file at its word."""
    try:
        kernels = XclBin(str(xclbin.path)).ip_dict
    except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise BadXclbin(
            f"{xclbin.path}: pynq cannot read it ({type(error).__name__}: {error}); copy the file again"
        ) from error
    if xclbin.kernel_name not in kernels:
        raise BadXclbin(
            f"{xclbin.path}: pynq finds no kernel {xclbin.kernel_name} in it (found: {', '.join(kernels) or 'none'}); "
            "does the kernel have a slave port in EMBEDDED_METADATA?"
        )
    found = kernels[xclbin.kernel_name]["xclbin_uuid"]
    if found != xclbin.uuid:
        raise BadXclbin(
            f"{xclbin.path}: has UUID {found}, and had {xclbin.uuid} when it was read; load again what uses it"
        )
