"""Checks XRT, the card, and whether the files are for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .finding import FAILED, NOTE, OK, Finding, Wanted

_XILINX = "0x10ee"  # PCI vendor


def xrt(_: Wanted) -> Iterator[Finding]:
    """Whether XRT finds Alveo cards, and what drives them; `card` says whether one is missing."""
    from ...cards import card_names, open_card
    from ...cards.xrt_version import find_way, xrt_name
    from ...errors import CardNotFound

    try:
        open_card("xrt:0")
    except CardNotFound as error:
        yield Finding("xrt", NOTE, Finding.of_error("xrt", error).found)
    else:
        cards = ", ".join(f"{name} ({open_card(name).name})" for name in card_names("xrt:*"))
        yield Finding("xrt", OK, f"{xrt_name()}: {cards}")
        yield Finding("xrt", OK, f"driven by {find_way().why}")


def permissions(
    wanted: Wanted, nodes: Path = Path("/sys/class/drm"), devices: Path = Path("/dev/dri")
) -> Iterator[Finding]:
    """Whether this user may use the device files of Xilinx cards.

    Args:
        nodes: where Linux describes the device files.
        devices: where they are.
    """
    if os.environ.get("XCL_EMULATION_MODE"):
        yield Finding("permissions", NOTE, "XRT emulates the card: there are no device files")
        return
    cards = sorted(node.name for node in nodes.glob("renderD*") if _vendor(node) == _XILINX)
    for name in cards:
        path = devices / name
        if not path.exists():
            found, fix = f"{path} does not exist here", f"in a container: docker run --device={path}"
        elif not os.access(path, os.R_OK | os.W_OK):
            found = f"user {os.getuid()} may not read and write {path}"
            group = path.stat().st_gid
            fix = f"add the user to group {group}, which owns it (usermod -aG; in a container: --group-add {group})"
        else:
            yield Finding("permissions", OK, f"{path} can be read and written")
            continue
        yield Finding("permissions", FAILED, found, fix)
    if not cards:
        found = f"no device file of a Xilinx card in {nodes}"
        if wanted.wants_alveo:
            fix = "see that 'lspci -d 10ee:' lists the card and that its driver, xocl, is loaded ('lsmod | grep xocl')"
            yield Finding("permissions", FAILED, found, fix)
        else:
            yield Finding("permissions", NOTE, found)


def _vendor(node: Path) -> str:
    try:
        return (node / "device" / "vendor").read_text().strip()
    except OSError:
        return ""


def card(wanted: Wanted) -> Iterator[Finding]:
    """Whether there is such a card, and an xclbin that fits it and its shell."""
    from ...cards import open_card
    from ...cards.xrt import check_xclbin
    from ...errors import Resnet50Error
    from ...xclbin.kernel_info import read_xclbin
    from ..default_card import default_card

    info, name = None, wanted.card
    if wanted.xclbin is None:
        yield Finding("xclbin", NOTE, "none named; --xclbin checks one")
    else:
        try:
            info = read_xclbin(wanted.xclbin)
        except Resnet50Error as error:
            yield Finding.of_error("xclbin", error, "name an xclbin with the resnet50 kernel")
        else:
            about = f"{info.kernel} kernel for {info.platform}, target {info.target}, UUID {info.uuid}"
            yield Finding("xclbin", OK, f"{info.path}: {about}")
            name = default_card(info, wanted.card)
    device = open_card(name or "software:0")
    yield Finding("card", OK, f"{name or 'software:0'}: {device.name}")
    if info is None or name is None:
        return
    if name.startswith("xrt:"):
        check_xclbin(device, info)
    else:
        info.network_bytes()  # raises where it is for something else
    yield Finding("card", OK, f"{name} can be programmed with {info.path}")


def weights(wanted: Wanted) -> Iterator[Finding]:
    """Whether the FC weights can be read."""
    from ...errors import BadWeights
    from ...weights import load_fc_weights

    if wanted.fcweights is None:
        yield Finding("weights", NOTE, "no FC weights named; --fcweights checks them")
        return
    try:
        shape = load_fc_weights(wanted.fcweights).shape
    except BadWeights as error:
        yield Finding.of_error("weights", error, "name the published fcweights.csv, or the one 'make sample' wrote")
    else:
        yield Finding("weights", OK, f"{wanted.fcweights}: {' x '.join(map(str, shape))} int8")
