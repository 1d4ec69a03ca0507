"""A card for a command without Triton: shared with servers and other commands of the machine by the same locks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.kernel import BufferSet, Kernel, Start
from ..runtime.lease import HAND_OVER_S, Lease, User, runtime_directory
from ..xclbin.kernel_info import read_xclbin

FIRST_START_S = 120.0  # the deadline until the card's own times are known


class SharedKernel(Kernel):
    """A kernel that lets a waiting process have the card before its next start. For one start at a time."""

    def __init__(self, lease: Lease, xclbin: Path, weights: NDArray[np.int8], card: str, **options: Any) -> None:
        """Take the card and program it. `options` are those of Kernel."""
        lease.acquire(HAND_OVER_S)
        self._lease = lease
        self._fc_weights = weights
        super().__init__(xclbin, weights, card, **options)

    def start(self, buffers: BufferSet, images: int) -> Start:
        """As Kernel's, once the card is ours."""
        if self._lease.wanted():
            self.drop_weights()  # the card has room for one set
            self._lease.release()
            self._lease.acquire(HAND_OVER_S)
            self.place_weights(self._fc_weights)
        return super().start(buffers, images)


@contextmanager
def open_kernel(command: str, xclbin: Path, weights: NDArray[np.int8], card: str, **options: Any) -> Iterator[Kernel]:
    """Open a card; an Alveo together with all who use it with the same xclbin.

    Args:
        command: who asks, for the messages of others.
        xclbin, weights, card, options: as for Kernel.

    Raises:
        CardError: also where the card is in use with another xclbin; the message names both.
    """
    with ExitStack() as stack:
        if is_shared(card):
            image = read_xclbin(xclbin)
            user = User(os.getpid(), os.getpid(), command, str(image.path), image.uuid, kind="command")
            lease = Lease(runtime_directory(card, os.getpid()), card, user)
            stack.callback(lease.close)
            yield stack.enter_context(SharedKernel(lease, xclbin, weights, card, **options))
        else:
            yield stack.enter_context(Kernel(xclbin, weights, card, **options))


def is_shared(card: str) -> bool:
    """Whether other processes can have the same card: a software card exists in this one only."""
    return card.startswith("xrt:")
