"""Cards without Triton, shared with servers and other commands of the machine by the same locks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import BadParameter, CardError
from ..runtime.directory import ServerDirectory, process_key
from ..runtime.instance import InstanceInfo, ModelInstance
from ..runtime.kernel import Kernel, Result
from ..runtime.latency import LatencyModel, measure_latency
from ..runtime.lease import Lease, User, card_directory
from ..runtime.power import PowerMeter, PowerRecorder, open_meter
from ..runtime.session import CardSession, KernelSettings
from ..triton.parameters import RESNET50, default_values
from ..weights import load_fc_weights
from ..xclbin import u250
from ..xclbin.kernel_info import read_xclbin
from .default_card import default_card

FIRST_RUN_S = 120.0  # the deadline until the card's own times are known
RECOVERY_S = 60.0  # how long an image waits for a card that failed

_open: set[str] = set()  # the cards that `open_kernel` has opened in this process


def open_instance(command: str, xclbin: Path, fcweights: Path, card: str, batch_size: int = 128) -> ModelInstance:
    """Open cards as the served model does, for a command; to be closed.

    Args:
        command: who asks, for the messages of others.
        xclbin: the xclbin.
        fcweights: the FC weights.
        card: as the model's parameter.
        batch_size: the most images in one run.

    Raises:
        SetupError: a file is wrong.
        CardError: the card does not work, or is in use with another xclbin; the message names both.
    """
    given = {"xclbin": xclbin, "fcweights": fcweights, "card": card, "failover_wait_s": RECOVERY_S}
    info = InstanceInfo(command, process_key(os.getpid()), kind="command")
    return ModelInstance({**default_values(RESNET50), **given}, info, batch_size)


@dataclass(frozen=True)
class Measurement:
    """`runs` runs of `batch_size` images each took `elapsed_s` together; `power_w`: mean W by what draws them."""

    batch_size: int
    runs: int
    elapsed_s: float
    power_w: Mapping[str, float]

    @property
    def images_per_s(self) -> float:
        """The rate."""
        return self.runs * self.batch_size / self.elapsed_s

    @property
    def latency_s(self) -> float:
        """Mean time of a run."""
        return self.elapsed_s / self.runs


class OpenKernel:
    """The kernel on a card, opened by `open_kernel`. A context manager; `close` does the same as leaving it.

    Any thread may use it; one run follows the other. Before each run the card is lent to a process that waits for it.

    Attributes:
        card: such as "software:0".
        device: the name of PYNQ's device.
        description: the card, what it is, and the xclbin on it.
        xclbin: what was read of the xclbin.
        batch_size: the most images in one run.
        power_source: where the figures of the power come from, or why there are none: "Power is ...".
        tells_power: whether there are any.
    """

    def __init__(self, session: CardSession, kernel: Kernel, latency: LatencyModel, meter: PowerMeter) -> None:
        self.card, self.device, self.xclbin = session.card, str(kernel.device.name), kernel.xclbin
        self.description, self.batch_size = kernel.description, kernel.batch_size
        self.power_source, self.tells_power = meter.source, bool(meter.read_w())
        self._session, self._latency, self._meter, self._lock = session, latency, meter, threading.Lock()
        self._cleanup = ExitStack()

    def run(self, pixels: NDArray[np.uint8]) -> Result:
        """Classify images, in runs of at most `batch_size`, one after the other.

        Args:
            pixels: uint8 (N, 224, 224, 3), B, G, R; N at least 1. `decode_image` makes one of them of a file's bytes.

        Returns:
            `top5`, uint32 (N, 5), class ids, best first; `logits`, int32 (N, 1000), or None where the kernel has none.

        Raises:
            BadPixels: another shape or type, or no image.
            CardError: the card failed, is busy, or was not handed back, or this kernel is closed.
        """
        with self._lock:
            return self._ours().run(pixels, self._latency.deadline_s(self.batch_size))

    def time_run(self, batch_size: int) -> float:
        """Run the kernel on images that are in the card's memory already: no data are moved.

        Args:
            batch_size: how many images, at most the kernel's `batch_size`.

        Returns:
            Seconds.

        Raises:
            BadParameter: a batch size out of its range.
            CardError: as `run`.
        """
        if not 1 <= batch_size <= self.batch_size:
            raise BadParameter(
                f"batch size is {batch_size}, expected 1 to {self.batch_size}, with which the kernel was opened"
            )
        with self._lock:
            kernel = self._ours()
            begin_s = time.monotonic()
            kernel.wait(kernel.start(kernel.buffers[0], batch_size), self._latency.deadline_s(batch_size))
            return time.monotonic() - begin_s

    def measure(self, batch_size: int, runs: int | None = None, seconds: float | None = None) -> Measurement:
        """Time runs one after the other while the power is recorded.

        Args:
            batch_size: as for `time_run`.
            runs: how many; None for no limit.
            seconds: no run begins after so long; None for no limit. One of the two limits is needed.

        Raises:
            BadParameter: neither limit is there, or the batch size is out of its range.
            CardError: as `run`.
        """
        if runs is None and seconds is None:
            raise BadParameter("runs and seconds are both None: without a limit this would not end; give one of them")
        done, elapsed_s = 0, 0.0
        with self.record_power() as recorder:
            begin_s = time.monotonic()
            for _ in count() if runs is None else range(runs):
                self.time_run(batch_size)
                done, elapsed_s = done + 1, time.monotonic() - begin_s
                if seconds is not None and elapsed_s >= seconds:
                    break
        return Measurement(batch_size, done, elapsed_s, recorder.mean_w())

    def record_power(self) -> PowerRecorder:
        """A context manager that reads the power ten times a second, while other threads run the kernel.

        Its `readings` have `at_s` and `watts`, and `mean_w()` is their mean: W by "fpga", "board" or "cpu"; all are
        empty where nothing can be read (`power_source` says why).
        """
        return PowerRecorder(self._meter)

    def _ours(self) -> Kernel:
        if self._session.is_contended:
            self._session.lend()
        return self._session.take_back()

    def close(self) -> None:
        """Free what is on the card and let others have it; again is harmless. Waits for a run of another thread."""
        with self._lock:
            self._cleanup.close()

    def __enter__(self) -> OpenKernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_kernel(
    xclbin: str | Path,
    fcweights: str | Path | NDArray[np.int8],
    card: str | None = None,
    batch_size: int = 128,
    *,
    shell: str = u250.PLATFORM,
    command: str = "python",
) -> OpenKernel:
    """Program a card with the ResNet-50 kernel and put the FC weights in its memory, without Triton.

        with open_kernel("card.xclbin", "fcweights.csv") as kernel:
            print(kernel.run(pixels).top5)

    Args:
        xclbin: the file.
        fcweights: the file, or int8 (1000, 2048).
        card: "software:N" or "xrt:N"; None takes the card that the xclbin is for.
        batch_size: the most images in one run.
        shell: of the Alveo to use where `card` is None and there are several.
        command: who asks, for the messages of other users of the card.

    Raises:
        BadXclbin, BadWeights, BadParameter: naming what is wrong.
        CardError: the card does not work, is open in this process, or is in use with another xclbin.
    """
    info = read_xclbin(xclbin)
    weights = fcweights if isinstance(fcweights, np.ndarray) else load_fc_weights(fcweights)
    name = default_card(info, card, shell)
    if name in _open:  # its own lock would make it wait for itself
        raise CardError(f"card '{name}' is open in this process already; close that kernel first, or name another card")
    with ExitStack() as stack:
        server = process_key(os.getpid())
        directory = ServerDirectory(server)
        stack.callback(directory.close)
        user = User.here(server, command, str(info.path), info.uuid, "command")
        lease = Lease(card_directory(name, directory.path), name, user)
        session = CardSession(name, KernelSettings(info, weights, batch_size, buffer_sets=1), lease)
        stack.callback(session.close)
        _open.add(name)
        stack.callback(_open.discard, name)
        kernel = session.open()
        opened = OpenKernel(session, kernel, measure_latency(kernel, FIRST_RUN_S), open_meter(kernel.device))
        opened._cleanup = stack.pop_all()
        return opened
