"""Triton's requests of encoded images as jobs for the decoders. Only importable in Triton's stub.

Triton hands over one request at a time (no dynamic batching: Triton 2.51 fails a batch as a whole where one request's
strings are malformed). `execute` takes each at once and returns; the answer comes from the decoders' threads.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future
from typing import Any

import triton_python_backend_utils as pb_utils

from ..decode import DecodeOptions, DecodePool
from ..errors import Cancelled, Expired, Overloaded, Resnet50Error
from ..runtime.metrics import Metrics
from ..runtime.pixels import COPIES, CopyPixels
from ..tensors import IMAGE, PIXELS
from .config import failure, parameters
from .inflight import CardQueue
from .metrics import TritonMetrics
from .parameters import PREPROCESS

EXPORT_S = 1.0  # so often the metrics are brought up to date
SWEEP_S = 0.1  # how late a request that waits learns that its timeout has passed
_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class PreprocessModel:
    """What model.py does: requests taken or refused at once, decoded and answered by the pool.

    Args:
        args: what Triton gives `initialize`.
        model_file: the model.py.

    Raises:
        BadParameter: the model cannot be loaded.
    """

    def __init__(self, args: dict[str, str], model_file: str) -> None:
        p = parameters(PREPROCESS, args, model_file)
        self._copy = COPIES[p["channel_order"]]
        self._max_requests, self._max_bytes = p["max_waiting_requests"], p["max_waiting_bytes"]
        self._card_queue = CardQueue(p["max_inflight_requests"], pb_utils.Logger.log_warn)
        self._pool = DecodePool(
            p["decode_workers"] or len(os.sched_getaffinity(0)), DecodeOptions.of_parameters(p), p["max_decode_s"]
        )
        self._waiting: dict[_Request, None] = {}  # taken, not yet begun, in the order they came
        self._waiting_bytes = 0
        self._metrics = Metrics()
        self._metrics.start_decoding_at_zero()
        self._sink = TritonMetrics(args["model_name"], args["model_version"])
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="sweeper")
        self._sweeper.start()

    def execute(self, requests: list[Any]) -> list[None]:
        """Take requests. None tells Triton that the answers come later."""
        for request in requests:
            taken = _Request(request, self._copy, self._metrics)
            try:
                self._take(taken, list(pb_utils.get_input_tensor_by_name(request, IMAGE.name).as_numpy().ravel()))
            except Exception as error:  # of any kind: Triton would wait for this answer for ever
                taken.refuse(error)
        return [None] * len(requests)

    def close(self) -> None:
        """Answer what was taken, and end the decoders."""
        self._pool.close()
        self._closed.set()
        self._sweeper.join()

    def _take(self, request: _Request, images: list[bytes]) -> None:
        request.size_bytes = sum(map(len, images))
        with self._lock:
            waiting, waiting_bytes = len(self._waiting), self._waiting_bytes
            if waiting >= self._max_requests or (waiting and waiting_bytes + request.size_bytes > self._max_bytes):
                raise Overloaded(
                    f"{waiting} requests of {waiting_bytes} bytes wait to be decoded, the limits are "
                    f"{self._max_requests} requests and {self._max_bytes} bytes: send it again later, or elsewhere"
                )
            self._waiting[request] = None
            self._waiting_bytes += request.size_bytes
        try:
            self._pool.submit(images, lambda: self._begin(request)).add_done_callback(request.answer)
        except Resnet50Error:
            self._forget(request)
            raise

    def _begin(self, request: _Request) -> None:
        """Wait until the card has room for a request; raise where its client does not wait any more."""
        self._card_queue.wait_for_room()
        self._forget(request)
        request.begin()

    def _forget(self, request: _Request) -> bool:
        """Count a request no longer to those that wait; False where it was not among them."""
        with self._lock:
            if request not in self._waiting:
                return False
            del self._waiting[request]
            self._waiting_bytes -= request.size_bytes
            return True

    def _sweep(self) -> None:
        """Tell requests that wait that their timeout has passed, when it has, and the world how many wait."""
        exported_s = 0.0
        while not self._closed.wait(SWEEP_S):
            if time.monotonic() - exported_s > EXPORT_S:
                exported_s = time.monotonic()
                self._export()
            with self._lock:
                expired = [request for request in self._waiting if request.is_expired()]
            for request in expired:
                if self._forget(request):
                    request.refuse(request.expired())

    def _export(self) -> None:
        self._metrics.set("resnet50_decode_waiting_requests", len(self._waiting))
        try:
            for sample in self._metrics.samples():
                self._sink.put(*sample)
        except Exception as error:  # the requests come first
            pb_utils.Logger.log_warn(f"metrics could not be exported: {type(error).__name__}: {error}")


class _Request:
    """One of Triton's requests, answered once."""

    def __init__(self, request: Any, copy: CopyPixels, metrics: Metrics) -> None:
        self._metrics = metrics
        self._begun_s = 0.0
        self.size_bytes = 0
        self._copy = copy
        self._received_s = time.monotonic()
        self._timeout_s = 1e-6 * request.timeout()  # 0: none
        self._sender = request.get_response_sender()
        self._lock = threading.Lock()
        self._is_answered = False

    def is_expired(self) -> bool:
        """Whether the request's own timeout has passed."""
        return bool(0 < self._timeout_s < time.monotonic() - self._received_s)

    def expired(self) -> Expired:
        return Expired(f"the request's timeout of {self._timeout_s:g} s passed while it waited to be decoded")

    def begin(self) -> None:
        """Note that this request is next. Raises Expired or Cancelled where its client does not wait any more."""
        self._begun_s = time.monotonic()
        self._metrics.add("resnet50_decode_wait_seconds_sum", self._begun_s - self._received_s)
        self._metrics.add("resnet50_decode_wait_seconds_count")
        if self.is_expired():
            raise self.expired()
        # To ask Triton takes longer than to decode a small image: only worth it for a request that had to wait.
        if time.monotonic() - self._received_s > SWEEP_S and self._sender.is_cancelled():
            raise Cancelled("the request was cancelled while it waited to be decoded")

    def answer(self, decoded: Future[Any]) -> None:
        """Send the pixels, or why there are none."""
        try:
            pixels = decoded.result()
            self._metrics.add("resnet50_decode_seconds_sum", time.monotonic() - self._begun_s)
            self._metrics.add("resnet50_decode_seconds_count")
            self._copy(pixels, pixels)
            self._send(pb_utils.InferenceResponse([pb_utils.Tensor(PIXELS.name, pixels)]))
        except Exception as error:  # a bad image; or no shared memory for the pixels, say
            self.refuse(error)

    def refuse(self, error: Exception) -> None:
        """Send an error."""
        if not isinstance(error, Resnet50Error):
            error = Resnet50Error(f"the request failed: {type(error).__name__}: {error}")
        self._metrics.add("resnet50_refused_total", code=error.triton_code)
        self._send(failure(error))

    def _send(self, response: Any) -> None:
        with self._lock:
            if self._is_answered:
                return  # while it waited
            self._is_answered = True
        self._sender.send(response, flags=_FINAL)
