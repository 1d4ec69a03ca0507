"""Holds decoding back while many requests wait for the card, by the server's own metrics.

An ensemble hands decoded pixels on as soon as they are there; where the card is slower than the decoder, they would
pile up before it: 150 KB each, and on a software card decoded with the very cores that the card needs. Held back
before they are decoded, requests wait as what they came as. Triton's own limit, `max_inflight_requests` of an ensemble
(over all of its requests from 26.04 on), is not used: there the front end's thread waits for its turn, and with it
every other request that comes to this thread, while nothing is refused (StepInflightRequestLimiter::Acquire in
ensemble_scheduler.cc of triton-inference-server/core, read in a version of 2026).
"""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
from collections.abc import Callable

ENVIRONMENT = "RESNET50_METRICS"  # host:port of the server's metrics; `resnet50-pynq serve` sets it
DEFAULT_ADDRESS = "127.0.0.1:8002"  # Triton's own default

POLL_S = 0.005  # a look costs the server 0.3 ms
RETRY_S = 10.0  # between tries where the metrics cannot be read


class CardQueue:
    """The requests that wait for the card.

    Args:
        max_inflight_requests: how many may wait; 0: any number.
        model: the model that drives the card.
        warn: told, now and then, that the metrics cannot be read, in which case nothing is held back.
    """

    def __init__(self, max_inflight_requests: int, warn: Callable[[str], None], model: str = "resnet50") -> None:
        self.max_inflight_requests = max_inflight_requests
        self._warn = warn
        address = os.environ.get(ENVIRONMENT, DEFAULT_ADDRESS)
        self._connection = http.client.HTTPConnection(address, timeout=2)
        self._pattern = re.compile(rf'^nv_inference_pending_request_count{{model="{model}",.*}} (\d+)$', re.MULTILINE)
        self._at_most = 0  # waiting at the last look, and all that was sent since
        self._blind_until = 0.0
        self._lock = threading.Lock()  # who waits for room holds it: the others wait behind

    def wait_for_room(self) -> None:
        """Wait until fewer than `max_inflight_requests` wait for the card, then count one more to them."""
        if self.max_inflight_requests:
            with self._lock:
                while self._at_most >= self.max_inflight_requests and time.monotonic() >= self._blind_until:
                    self._look()
                    if self._at_most >= self.max_inflight_requests:
                        time.sleep(POLL_S)
                self._at_most += 1

    def _look(self) -> None:
        try:
            self._connection.request("GET", "/metrics")
            found = self._pattern.search(self._connection.getresponse().read().decode())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._go_blind(str(error))
            return
        if found:
            self._at_most = int(found[1])
        else:
            self._go_blind("they do not name the card's model")

    def _go_blind(self, reason: str) -> None:
        self._at_most = 0
        self._blind_until = time.monotonic() + RETRY_S
        self._warn(
            f"the server's metrics at {self._connection.host}:{self._connection.port} cannot be read ({reason}): "
            f"decoding does not wait for the card (set {ENVIRONMENT}=host:port, or max_inflight_requests to 0)"
        )
