"""A steady load whose every request is accounted for: answered rightly, refused with a code, wrong, or lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tritonclient.grpc as grpc
from numpy.typing import NDArray
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.weights import load_fc_weights
from resnet50_triton.xclbin.kernel_info import read_xclbin

LOST_S = 20.0  # a request without an answer after this time is lost
RIGHT, WRONG = "right", "WRONG"
_SIZES = (1, 2, 4, 1, 8, 1)
_PAUSE_S = 0.02  # after a failure, as a client that tries again would


def expected_logits(sample: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the sample's card must answer, float32 (N, 1000), computed without a card."""
    network = Network.from_bytes(read_xclbin(sample / "card.xclbin").network_bytes())
    return open_engine(network).logits(pixels, load_fc_weights(sample / "fcweights.csv")).astype(np.float32)


@dataclass(frozen=True)
class Outcome:
    """One request: what came of it, and when (time.monotonic())."""

    sent_s: float
    answered_s: float
    what: str  # RIGHT, WRONG, or the code of the error
    message: str = ""


class CheckedLoad:
    """Clients that each have one request in flight, of varied size.

    Args:
        url: of the server, gRPC.
        images: 8 or more: pixels, uint8 (N, 224, 224, 3), or with a model that decodes, encoded.
        expected: float32 (N, 1000), their logits.
        clients: how many.
        model: whom to ask.
    """

    def __init__(
        self,
        url: str,
        images: NDArray[np.uint8] | Sequence[bytes],
        expected: NDArray[np.float32],
        clients: int = 4,
        model: str = "resnet50",
    ) -> None:
        self._url, self._images, self._expected, self._model = url, images, expected, model
        self.outcomes: list[Outcome] = []
        self.sent = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self) -> CheckedLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(2 * LOST_S)

    def _work(self, number: int) -> None:
        sent = number
        with grpc.InferenceServerClient(self._url) as client:
            while not self._ended.is_set():
                outcome = self._ask(client, _SIZES[sent % len(_SIZES)])
                sent += 1
                with self._lock:
                    self.outcomes.append(outcome)
                if outcome.what != RIGHT:
                    self._ended.wait(_PAUSE_S)

    def _ask(self, client: Any, images: int) -> Outcome:
        if isinstance(self._images, np.ndarray):
            tensor = grpc.InferInput("PIXELS", [images, 224, 224, 3], "UINT8")
            tensor.set_data_from_numpy(self._images[:images])
        else:
            tensor = grpc.InferInput("IMAGE", [images, 1], "BYTES")
            tensor.set_data_from_numpy(np.array(self._images[:images], object).reshape(-1, 1))
        with self._lock:
            self.sent += 1
        sent_s = time.monotonic()
        try:
            result = client.infer(
                self._model, [tensor], outputs=[grpc.InferRequestedOutput("LOGITS")], client_timeout=LOST_S
            )
        except grpc.InferenceServerException as error:
            code = str(error.status()).rpartition(".")[2]
            lost = code == "DEADLINE_EXCEEDED"
            return Outcome(sent_s, time.monotonic(), "lost" if lost else code, error.message())
        right = np.array_equal(result.as_numpy("LOGITS"), self._expected[:images])
        return Outcome(sent_s, time.monotonic(), RIGHT if right else WRONG)

    def right_since(self, moment_s: float) -> int:
        """Correct answers to requests sent since a moment."""
        with self._lock:
            return sum(o.what == RIGHT and o.sent_s >= moment_s for o in self.outcomes)

    def count(self) -> Counter[str]:
        """How many requests of each outcome."""
        with self._lock:
            return Counter(outcome.what for outcome in self.outcomes)
