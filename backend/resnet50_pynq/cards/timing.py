"""The timing card: takes as long as the published accelerator on an Alveo U250, and computes nothing.

For finding out what the host, the network and the server around a card can carry, without a card: the CPU stays free,
as with an Alveo. Its results are zeros.
"""

from __future__ import annotations

import time

from ..card_image import CardImage
from .call import KernelCall
from .emulated import Compute, EmulatedCard
from .power import IMAGE_S, START_S


class TimingCard(EmulatedCard):
    """A card that only takes the card's time; see the module. PYNQ does not list it."""

    name = "timing card, computes nothing"

    def _load(self, image: CardImage) -> Compute:  # noqa: ARG002
        return self._pass_time

    def _pass_time(self, call: KernelCall) -> None:
        time.sleep(START_S + IMAGE_S * len(call.pixels))
        call.out[:] = 0


_cards: dict[int, TimingCard] = {}


def open_device(index: int, threads: int | None = None) -> TimingCard:  # noqa: ARG001  it needs no CPU
    """The timing card of this index."""
    if index not in _cards:
        _cards[index] = TimingCard(f"timing:{index}", index)
    return _cards[index]


def reset_device(card: TimingCard) -> None:
    """Bring the card back to its state before it was programmed."""
    card.reset_fpga()


def count_devices() -> int:
    """None: such cards are used only when named one by one."""
    return 0
