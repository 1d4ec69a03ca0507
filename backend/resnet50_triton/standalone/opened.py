"""Opens a card for a command without Triton; it is shared with servers and other commands by the same locks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..runtime.directory import ServerDirectory, process_key
from ..runtime.instance import InstanceInfo, ModelInstance
from ..runtime.kernel import Kernel
from ..runtime.lease import Lease, User, card_directory
from ..runtime.session import CardSession, KernelSettings
from ..triton.parameters import RESNET50, default_values
from ..xclbin.kernel_info import KernelInfo

FIRST_RUN_S = 120.0  # the deadline until the card's own times are known
RECOVERY_S = 60.0  # how long an image waits for a card that failed


def open_instance(command: str, xclbin: Path, fcweights: Path, card: str, batch_size: int = 128) -> ModelInstance:
    """Open cards as the served model does, for a command; to be closed.

    Args:
        command: who asks, for the messages of others.
        xclbin, fcweights: the files.
        card: as the model's parameter.
        batch_size: the most images in one run.

    Raises:
        SetupError: a file is wrong.
        CardError: the card does not work, or is in use with another xclbin; the message names both.
    """
    given = {"xclbin": xclbin, "fcweights": fcweights, "card": card, "failover_wait_s": RECOVERY_S}
    info = InstanceInfo(command, process_key(os.getpid()), kind="command")
    return ModelInstance({**default_values(RESNET50), **given}, info, batch_size)


@contextmanager
def open_kernel(
    command: str, xclbin: KernelInfo, weights: NDArray[np.int8], card: str, batch_size: int
) -> Iterator[Callable[[], Kernel]]:
    """Open the kernel on a card, for a command that measures it. Arguments and errors as of `open_instance`.

    What it yields is called before each run, for the kernel: it lends the card to a process that waits for it.
    """
    server = process_key(os.getpid())
    directory = ServerDirectory(server)
    try:
        user = User.here(server, command, str(xclbin.path), xclbin.uuid, "command")
        lease = Lease(card_directory(card, directory.path), card, user)
        session = CardSession(card, KernelSettings(xclbin, weights, batch_size, buffer_sets=1), lease)
        try:
            session.open()
            yield lambda: _ours(session)
        finally:
            session.close()
    finally:
        directory.close()


def _ours(session: CardSession) -> Kernel:
    if session.is_contended:
        session.lend()
    return session.take_back()
