"""One model instance: its cards opened as the parameters say, their metrics published, all closed at the end."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..cards import card_names
from ..errors import BadParameter, CardError
from ..network.parameters import Network
from ..weights import load_fc_weights
from ..xclbin.kernel_info import KernelInfo, read_xclbin
from .exporter import MetricsExporter, Sink
from .lease import Lease, User, runtime_directory, server_directory
from .metrics import Metrics
from .scheduler import CardPool
from .selftest import CrossCheck, SelfTest, reference_model
from .worker import CardWorker, Settings


@dataclass(frozen=True)
class InstanceInfo:
    """Which of the processes of which model this is."""

    model: str
    server: int  # pid of the tritonserver
    pid: int
    instance: int = 0
    instances: int = 1


class ModelInstance:
    """The cards of one model instance at work.

    Args:
        parameters: those of `parameters.RESNET50`, parsed.
        place: who we are.
        max_batch: the largest request, in images.
        sink: takes the metrics now and then; None keeps them in `metrics`.

    Raises:
        SetupError: a file or a parameter is wrong.
        CardError: fewer cards work than the min_ready_cards asks for.
    """

    def __init__(
        self, parameters: Mapping[str, Any], place: InstanceInfo, max_batch: int, sink: Sink | None = None
    ) -> None:
        self.image = read_xclbin(parameters["xclbin"])
        check_uuid(self.image, parameters["xclbin_uuid"])
        self.metrics = Metrics()
        self.cards = assign(card_names(parameters["card"]), place)
        min_ready_cards = min(parameters["min_ready_cards"], len(self.cards))
        with ExitStack() as stack:
            # A card is programmed again long after the load: with this image, whatever has become of the file.
            folder = tempfile.TemporaryDirectory(prefix="image-", dir=server_directory(place.server))
            stack.callback(folder.cleanup)
            self._xclbin = Path(folder.name) / self.image.path.name
            shutil.copyfile(self.image.path, self._xclbin)
            workers = self._open(parameters, place, max_batch, min_ready_cards, stack)
            self.pool = CardPool(workers, min_ready_cards, self.metrics, workers[0].changed)
            self._exporter = MetricsExporter(self.metrics, self.pool, sink)
            self._cleanup = stack.pop_all()

    def _open(
        self, p: Mapping[str, Any], place: InstanceInfo, max_batch: int, min_ready_cards: int, stack: ExitStack
    ) -> list[CardWorker]:
        weights = load_fc_weights(p["fcweights"])
        network = Network.load(p["network"]) if p["network"] else None
        computes = not any(card.startswith("timing:") for card in self.cards)
        reference = reference_model(self.image, network, weights, p["threads"]) if computes else None
        if p["cross_check_percent"] and reference is None:
            raise BadParameter(
                f"cross_check_percent is {p['cross_check_percent']:g}, but {self.image.path} has no known network: "
                "name its net.npz by the parameter 'network'"
            )
        selftest, cross_check = SelfTest(reference), CrossCheck(reference, p["cross_check_percent"])
        settings = Settings(
            buffer_sets=p["buffer_sets"],
            kernel_batch_size=p["kernel_batch_size"] or max_batch,
            kernel_timeout_s=p["kernel_timeout_s"],
            recovery_attempts=p["recovery_attempts"],
            selftest_interval_s=p["selftest_interval_s"],
            threads=p["threads"],
        )
        changed = threading.Condition()
        user = User(place.pid, place.server, place.model, str(self.image.path), self.image.uuid)
        workers: list[CardWorker] = []
        failures: list[Exception | None] = []
        for card in self.cards:
            lease = Lease(runtime_directory(card, place.server), card, user)
            worker = CardWorker(
                card, self._xclbin, weights, settings, selftest, cross_check, lease, self.metrics, changed
            )
            stack.callback(worker.close)
            workers.append(worker)
            try:
                worker.load()
                failures.append(None)
            except CardError as error:
                failures.append(error)
        failed = [error for error in failures if error is not None]
        if len(workers) - len(failed) < min_ready_cards:
            raise failed[0]
        for worker, failure in zip(workers, failures, strict=True):
            worker.run(failure)
        return workers

    @property
    def description(self) -> str:
        """The cards, what they are, and the image on them, for the log."""
        cards = []
        for worker in self.pool.workers:
            kernel, curve = worker.kernel, worker.latency
            what = f"{worker.card} ({kernel.device.name})" if kernel else f"{worker.card} ({worker.state.value})"
            if curve:
                what += f", {1e3 * curve.expected_s(1):.3g} ms an image alone, {1e3 * curve.image_s:.3g} ms in a batch"
            cards.append(what)
        return f"{'; '.join(cards)}; the {self.image.kernel} kernel of {self.image.path} (UUID {self.image.uuid})"

    def close(self) -> None:
        """Answer what was taken, free everything, and publish the last figures."""
        self.pool.close()
        self._exporter.close()
        self._cleanup.close()

    def __enter__(self) -> ModelInstance:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def assign(cards: list[str], place: InstanceInfo) -> list[str]:
    """The cards of one of several instances: each gets its share, and where there are too few, they share."""
    return cards[place.instance :: place.instances] or [cards[place.instance % len(cards)]]


def check_uuid(image: KernelInfo, expected: str) -> None:
    """Hold an xclbin to the UUID that the configuration names, if it does. Raises BadParameter."""
    if expected and expected.replace("-", "").lower() != image.uuid:
        raise BadParameter(
            f"xclbin_uuid is '{expected}', but {image.path} has the UUID {image.uuid}; correct the one or the other"
        )
