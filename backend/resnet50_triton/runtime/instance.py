"""One model instance: its cards opened as the parameters say, their metrics exported, all closed at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards import card_names
from ..errors import BadParameter, CardError
from ..network.parameters import Network
from ..weights import load_fc_weights
from ..xclbin.kernel_info import KernelInfo, read_xclbin, write_xclbin
from .batch import Batch
from .clock import SYSTEM
from .directory import ServerDirectory
from .exporter import MetricsExporter, Sink
from .lease import Lease, User, card_directory
from .metrics import Metrics
from .pixels import COPIES
from .queue import CardQueue
from .scheduler import Failover, Scheduler
from .selftest import CrossCheck, ReferenceModel, SelfTest, reference_model
from .session import CardSession, KernelSettings
from .worker import CardSettings, CardWorker


@dataclass(frozen=True)
class InstanceInfo:
    """Which of the processes of which model this is."""

    model: str
    server: str  # the `process_key` of the tritonserver, or of a command
    instance: int = 0
    instances: int = 1
    kind: str = "model"  # or "command": one that uses a card without Triton


class ModelInstance:
    """The cards of one model instance at work.

    Args:
        parameters: those of `parameters.RESNET50`, parsed.
        info: who we are.
        max_batch: the largest request, in images.
        sink: takes the metrics now and then; None keeps them in `metrics`.

    Raises:
        SetupError: a file or a parameter is wrong.
        CardError: fewer cards work than `min_ready_cards`.
    """

    def __init__(
        self, parameters: Mapping[str, Any], info: InstanceInfo, max_batch: int, sink: Sink | None = None
    ) -> None:
        self.xclbin = read_xclbin(parameters["xclbin"])
        check_uuid(self.xclbin, parameters["xclbin_uuid"])
        self.metrics = Metrics()
        self.cards = assign(card_names(parameters["card"]), info)
        weights = load_fc_weights(parameters["fcweights"])
        reference = self._reference(parameters, weights)
        with ExitStack() as stack:
            # A card is programmed again long after the load: with this xclbin, even if the file has changed since.
            self._directory = ServerDirectory(info.server)
            stack.callback(self._directory.close)
            folder = tempfile.TemporaryDirectory(prefix="xclbin-", dir=self._directory.path)
            stack.callback(folder.cleanup)
            kernel = KernelSettings(
                xclbin=replace(self.xclbin, path=Path(shutil.copy(self.xclbin.path, folder.name))),
                weights=weights,
                batch_size=parameters["kernel_batch_size"] or max_batch,
                buffer_sets=parameters["buffer_sets"],
                threads=parameters["threads"],
            )
            self.scheduler = self._start(parameters, info, kernel, reference, stack)
            self._exporter = MetricsExporter(self.metrics, self.scheduler, sink)
            self._cleanup = stack.pop_all()

    def _reference(self, p: Mapping[str, Any], weights: NDArray[np.int8]) -> ReferenceModel | None:
        """The reference model for the outputs; None where the network is unknown or the cards compute nothing."""
        network = Network.load(p["network"]) if p["network"] else None
        computes = not any(card.startswith("timing:") for card in self.cards)
        reference = reference_model(self.xclbin, network, weights, p["threads"]) if computes else None
        if p["cross_check_percent"] and reference is None:
            raise BadParameter(
                f"cross_check_percent is {p['cross_check_percent']:g}, but {self.xclbin.path} has no known network: "
                "name its net.npz by the parameter 'network'"
            )
        return reference

    def _start(
        self,
        p: Mapping[str, Any],
        info: InstanceInfo,
        kernel: KernelSettings,
        reference: ReferenceModel | None,
        stack: ExitStack,
    ) -> Scheduler:
        """Load every card; those that fail are recovered later, where enough others work."""
        settings = CardSettings(p["kernel_timeout_s"], p["recovery_attempts"], p["selftest_interval_s"])
        selftest, cross_check = SelfTest(reference), CrossCheck(reference, p["cross_check_percent"])
        user = User.here(info.server, info.model, str(self.xclbin.path), self.xclbin.uuid, info.kind)
        changed = SYSTEM.condition()

        def load(card: str, kernel: KernelSettings = kernel) -> tuple[CardWorker, CardError | None]:
            session = CardSession(card, kernel, Lease(card_directory(card, self._directory.path), card, user))
            queue = CardQueue(card, changed)
            worker = CardWorker(session, queue, settings, selftest, cross_check, self.metrics, self._rerun)
            stack.callback(worker.close)
            try:
                worker.load()
            except CardError as error:
                return worker, error
            return worker, None

        loaded = [load(card) for card in self.cards]
        failures = [error for _, error in loaded if error is not None]
        min_ready_cards = min(p["min_ready_cards"], len(loaded))
        if len(loaded) - len(failures) < min_ready_cards:
            raise failures[0]
        standby = None
        if p["standby"]:
            standby, failure = load(*self._standby(p, kernel))
            if failure is not None:
                raise failure
        workers, failover = [worker for worker, _ in loaded], Failover(p["failover_wait_s"] or 0.0, standby)
        copy = COPIES[p["channel_order"]]
        scheduler = Scheduler(workers, min_ready_cards, failover, self.metrics, changed, copy)
        stack.callback(scheduler.close)
        self.scheduler = scheduler  # before a card can fail
        for worker, failure in loaded:
            worker.start(failure)
        if standby is not None:
            standby.start()
        return scheduler

    def _standby(self, p: Mapping[str, Any], kernel: KernelSettings) -> tuple[str, KernelSettings]:
        """The standby's name, and what its kernel is opened with: of a software card, an xclbin for software cards."""
        (card,) = card_names(p["standby"])[:1]
        if card in self.cards:
            raise BadParameter(f"standby is '{card}', which is among the cards: {', '.join(self.cards)}; name another")
        if self.xclbin.target == "software" or card.startswith("xrt:"):
            return card, kernel
        if not p["network"]:
            raise BadParameter(
                f"standby is '{card}', but {self.xclbin.path} is for target {self.xclbin.target}: name the net.npz of "
                "its network by the parameter 'network'"
            )
        path = kernel.xclbin.path.with_name("standby.xclbin")
        write_xclbin(path, Network.load(p["network"]), self.xclbin.kernel)
        return card, replace(kernel, xclbin=read_xclbin(path))

    def _rerun(self, card: str, batches: list[Batch], error: CardError) -> None:
        self.scheduler.rerun(card, batches, error)

    def uuid_of(self, card: str) -> str:
        """The UUID of the xclbin on a card, which is another on the standby of an FPGA."""
        standby = self.scheduler.standby
        kernel = standby.kernel if standby is not None and standby.card == card else None
        return kernel.xclbin.uuid if kernel is not None else self.xclbin.uuid

    @property
    def description(self) -> str:
        """The cards, what they are, and the xclbin on them, for the log."""
        cards = []
        for worker in (*self.scheduler.workers, *filter(None, [self.scheduler.standby])):
            kernel, latency = worker.kernel, worker.latency
            what = f"{worker.card} ({kernel.device.name if kernel else worker.queue.state.value})"
            if latency:
                what += f", {1e3 * latency.expected_s(1):.3g} ms for one image, "
                what += f"{1e3 * latency.image_s:.3g} ms for each further one"
            cards.append(what)
        xclbin = self.xclbin
        return f"{'; '.join(cards)}; the {xclbin.kernel} kernel of {xclbin.path} (UUID {xclbin.uuid})"

    def close(self) -> None:
        """Answer what was taken, free everything, and export the last figures; again is harmless."""
        self.scheduler.close()
        self._exporter.close()
        self._cleanup.close()

    def __enter__(self) -> ModelInstance:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def assign(cards: list[str], info: InstanceInfo) -> list[str]:
    """The cards of one of several instances: each gets its share, and where there are too few, they share."""
    return cards[info.instance :: info.instances] or [cards[info.instance % len(cards)]]


def check_uuid(xclbin: KernelInfo, expected: str) -> None:
    """Hold an xclbin to the UUID that the configuration names, if it does. Raises BadParameter."""
    if expected and expected.replace("-", "").lower() != xclbin.uuid:
        raise BadParameter(
            f"xclbin_uuid is '{expected}', but {xclbin.path} has the UUID {xclbin.uuid}; correct the one or the other"
        )
