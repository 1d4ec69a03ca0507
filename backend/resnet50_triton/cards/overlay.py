"""PYNQ's Overlay on a card, made callable on every Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pynq import Overlay
from pynq.pl_server.xclbin_parser import XclBin
from pynq.pl_server.xrt_device import XrtDevice

from ..errors import BadXclbin
from ..xclbin.kernel_info import KernelInfo, read_xclbin
from .xrt import check_image


def load_overlay(xclbin: str | Path, device: Any, download: bool = True) -> Any:
    """Load an xclbin on a card, as an Overlay whose kernel can be called.

    The kernel's first argument is named `in`, a Python keyword, which Python 3.11 refuses as a parameter's name when
    PYNQ makes the kernel's driver. It is renamed `in_r`, as Vitis HLS itself does, before PYNQ's first look at it.

    Args:
        download: False attaches to a card that holds this image already.

    Returns:
        The `pynq.Overlay`.

    Raises:
        BadXclbin: the file is damaged, or not for this card.
    """
    image = read_xclbin(xclbin)
    if isinstance(device, XrtDevice):  # an emulated card checks for itself
        check_image(device, image)
    _check_readable(image)
    overlay = Overlay(str(xclbin), download=download, device=device)
    for kernel in overlay._ip_map._description["ip"].values():
        if "in" in kernel["registers"]:
            kernel["registers"]["in_r"] = kernel["registers"].pop("in")
    return overlay


def _check_readable(image: KernelInfo) -> None:
    """Try PYNQ's parser, which looks at more than we do and takes a damaged file at its word."""
    try:
        kernels = XclBin(str(image.path)).ip_dict
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadXclbin(
            f"{image.path}: pynq cannot read it ({type(error).__name__}: {error}); copy the file again"
        ) from error
    if image.kernel_name not in kernels:
        raise BadXclbin(
            f"{image.path}: pynq finds no kernel {image.kernel_name} in it (found: {', '.join(kernels) or 'none'}); "
            "does the kernel have a slave port in EMBEDDED_METADATA?"
        )
