"""Chooses the card of a command that names none."""

from __future__ import annotations

from ..cards import card_names, open_card
from ..errors import CardNotFound
from ..xclbin import u250
from ..xclbin.kernel_info import KernelInfo


def default_card(xclbin: KernelInfo, card: str | None = None, shell: str = u250.PLATFORM) -> str:
    """Choose the card that an xclbin is for; a software card only for an xclbin that was made for one.

    Args:
        xclbin: what is to run.
        card: the name of a card, which is then taken as it is.
        shell: where there are several Alveos, the first with this shell; where none has it, the first.

    Returns:
        A card's name, for `open_card`.
    """
    if card is not None:
        return card
    if xclbin.target == "software":
        return "software:0"
    try:
        alveos = card_names("xrt:*")
    except CardNotFound:
        return "xrt:0"  # opening it fails with what is missing
    return next((name for name in alveos if open_card(name).name == shell), alveos[0])
