"""A process's use of a card: its lease and, while it is open, the kernel that is programmed on it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cards import open_card, reset_card
from ..errors import CardError
from ..xclbin.kernel_info import KernelInfo
from .kernel import Kernel
from .lease import HAND_OVER_S, Lease

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KernelSettings:
    """What a kernel is opened with; see `Kernel`."""

    xclbin: KernelInfo
    weights: NDArray[np.int8]
    batch_size: int = 128
    buffer_sets: int = 3
    threads: int | None = None


def open_kernel(card: str, settings: KernelSettings) -> Kernel:
    """Program a card. Raises CardError, or what is wrong with the files."""
    s = settings
    return Kernel(s.xclbin, s.weights, card, s.batch_size, s.buffer_sets, s.threads)


def reset(card: str) -> None:
    """Reset a card on which no kernel is open. Raises CardError, RuntimeError, OSError."""
    reset_card(card, open_card(card))


class CardSession:
    """For one thread at a time.

    Args:
        card: its name.
        settings: what its kernel is opened with.
        lease: our share in the card.
        open_kernel: programs the card.
        reset: resets a card that is not programmed.
    """

    def __init__(
        self,
        card: str,
        settings: KernelSettings,
        lease: Lease,
        open_kernel: Callable[[str, KernelSettings], Kernel] = open_kernel,
        reset: Callable[[str], None] = reset,
    ) -> None:
        self.card = card
        self.kernel: Kernel | None = None  # while the card is open
        self._settings, self._lease = settings, lease
        self._open_kernel, self._reset = open_kernel, reset

    @property
    def is_contended(self) -> bool:
        """Whether we hold the card and another process waits for it."""
        return self._lease.held and self._lease.contended()

    @property
    def is_shared(self) -> bool:
        """Whether all other users of the card want the xclbin that is on it."""
        return all(other.uuid == self._settings.xclbin.uuid for other in self._lease.others())

    def open(self) -> Kernel:
        """Get the card and program it. Raises CardError, or what is wrong with the files."""
        self._acquire()
        self.kernel = self._open_kernel(self.card, self._settings)
        return self.kernel

    def lend(self) -> None:
        """Let another process with the same xclbin have the card between two runs."""
        if self.kernel is not None:
            self.kernel.drop_weights()  # the card has room for one set
        self._lease.release()

    def take_back(self) -> Kernel:
        """Have the card for the next run. Raises CardError."""
        if self.kernel is None:
            raise CardError(f"card '{self.card}' is not open")
        if not self._lease.held:
            self._acquire()
            self.kernel.place_weights(self._settings.weights)
        return self.kernel

    def leave(self) -> None:
        """Free all that is on the card, and let another process have it."""
        self._free()
        self._lease.release()

    def reset(self) -> None:
        """Bring a failed card back to its state before it was programmed. Raises CardError."""
        self._acquire()
        kernel, self.kernel = self.kernel, None
        if kernel is not None:
            kernel.reset_card()
        else:
            self._reset(self.card)

    def close(self) -> None:
        """Leave the card for good."""
        self._free()
        self._lease.close()

    def _free(self) -> None:
        """Close the kernel. A card that refuses is left too: it must not keep the others from closing."""
        kernel, self.kernel = self.kernel, None
        if kernel is not None:
            try:
                kernel.close()
            except (CardError, RuntimeError, OSError) as error:
                _log.error("card '%s' does not free what was on it: %s", self.card, error)

    def _acquire(self) -> None:
        if not self._lease.held:
            self._lease.acquire(HAND_OVER_S)
