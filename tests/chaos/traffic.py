"""Load on a fleet with the project's own client: every answer is held against what its xclbin has to say."""

from __future__ import annotations

import itertools
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from resnet50_client import Client, ClientError, Item, Prediction
from resnet50_triton.decode import decode_image
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.weights import load_fc_weights
from resnet50_triton.xclbin.kernel_info import read_xclbin

TOP = 5
Answer = tuple[tuple[int, int], ...]  # class ids and their logits, best first
Expected = Mapping[str, Mapping[str, Answer]]  # by the UUID of the xclbin, by picture


def expected_answers(xclbin: Path, fcweights: Path, pictures: Mapping[str, bytes]) -> tuple[str, dict[str, Answer]]:
    """What a card with this xclbin must answer, computed without a server.

    Returns:
        The xclbin's UUID, and the five best classes of each picture with their logits.
    """
    container = read_xclbin(xclbin)
    pixels = np.stack([decode_image(data) for data in pictures.values()])
    logits = open_engine(Network.from_bytes(container.network_bytes())).logits(pixels, load_fc_weights(fcweights))
    order = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
    return container.uuid, {
        name: tuple((int(i), int(row[i])) for i in best)
        for name, row, best in zip(pictures, logits, order, strict=True)
    }


@dataclass(frozen=True)
class Event:
    """One answer."""

    time_s: float  # time.time()
    latency_s: float  # from its first sending, with all that were needed
    xclbin: str  # UUID of the xclbin that computed it
    is_right: bool


class Traffic:
    """A client that classifies pictures without pause, on a thread; a context manager.

    Args:
        name: for reports.
        urls: one balancer, or several replicas.
        pictures: encoded, by name.
        expected: what is right.
        concurrency: requests in flight.
        retry_s: how long a request is sent again while nobody is available.
    """

    def __init__(
        self,
        name: str,
        urls: Sequence[str],
        pictures: Mapping[str, bytes],
        expected: Expected,
        concurrency: int,
        retry_s: float = 60.0,
    ) -> None:
        self.name = name
        self.events: list[Event] = []
        self.failed: list[str] = []  # why, of each request without an answer
        self.sent = 0
        self.resent: Counter[str] = Counter()  # by what the client was told
        self._client = Client(urls, concurrency=concurrency, top=TOP, names=[], retry_s=retry_s, timeout_s=120)
        self._pictures = [Item(name, lambda data=data: data) for name, data in pictures.items()]  # type: ignore[misc]
        self._expected = expected
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self._listener = _Listener(urls, self.resent)

    def __enter__(self) -> Traffic:
        logger = logging.getLogger("resnet50_client.balancer")
        logger.setLevel(logging.INFO)
        logger.addHandler(self._listener)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Send nothing more, and wait for all answers."""
        self._ended.set()
        self._thread.join()
        self._client.close()
        logging.getLogger("resnet50_client.balancer").removeHandler(self._listener)

    @property
    def wrong(self) -> int:
        """Answers that are not those of the xclbin that they claim to be from."""
        return sum(not event.is_right for event in self.events)

    @property
    def lost(self) -> int:
        """Requests that ended without an answer."""
        return len(self.failed)

    def _run(self) -> None:
        try:
            for prediction in self._client.stream(self._endless()):
                self._note(prediction)
        except ClientError as error:
            self.failed += [str(error)] * (self.sent - len(self.events) - len(self.failed))

    def _endless(self) -> Iterator[Item]:
        for picture in itertools.cycle(self._pictures):
            if self._ended.is_set():
                return
            self.sent += 1
            yield picture

    def _note(self, prediction: Prediction) -> None:
        if prediction.error is not None or prediction.provenance is None or prediction.times is None:
            self.failed.append(prediction.error or "an answer that does not say where it comes from")
            return
        uuid = prediction.xclbin_uuid or ""
        answer = tuple((candidate.class_id, candidate.score) for candidate in prediction.top)
        is_right = self._expected.get(uuid, {}).get(prediction.source) == answer
        self.events.append(Event(prediction.times.answered_ns / 1e9, prediction.latency_s, uuid, is_right))


class _Listener(logging.Handler):
    """Counts what the client says of requests that it sends again, for the addresses of one Traffic."""

    def __init__(self, urls: Sequence[str], counts: Counter[str]) -> None:
        super().__init__()
        self._urls = tuple(urls)
        self._counts = counts

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        who, _, what = re.split(r" (is unavailable|failed): ", said, maxsplit=1)
        if any(url in who for url in self._urls):
            self._counts[what] += 1
