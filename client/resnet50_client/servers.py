"""Several servers as one: a request goes to the one with the least to do, or to another if that is unavailable."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from resnet50_client.connect import LONGEST_DELAY_S, Connection, Payload, TryAgain
from resnet50_client.errors import ServerUnavailable

FIRST_DELAY_S = 0.1

_log = logging.getLogger(__name__)


class _Server:
    """A connection, what it has to do, and until when to leave it alone."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.under_way = 0
        self.rests_until = 0.0
        self._delay_s = FIRST_DELAY_S

    def rest(self, sent_at: float) -> None:
        """It was unavailable to a request of that time: wait twice as long as the last time before the next."""
        if sent_at >= self.rests_until:  # a window of requests fails as one, and counts as one
            self.rests_until = time.monotonic() + self._delay_s
            self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    def wake(self) -> None:
        self.rests_until = 0.0
        self._delay_s = FIRST_DELAY_S


class Servers:
    """Servers that serve the same model."""

    def __init__(self, connections: Sequence[Connection], retry_s: float) -> None:
        """Take over connections.

        Args:
            connections: at least one.
            retry_s: how long one request goes on trying while every server says UNAVAILABLE; 0 tries each once.
        """
        self.connections = list(connections)
        self._servers = [_Server(connection) for connection in connections]
        self._retry_s = retry_s

    async def infer(
        self, model: str, payload: Payload, outputs: Sequence[str], class_count: int = 0
    ) -> tuple[dict[str, npt.NDArray[Any]], Connection]:
        """Classify one image on one of the servers.

        Args:
            model, payload, outputs, class_count: as `Connection.infer`.

        Returns:
            The outputs by name, and the connection that they came by.

        Raises:
            RequestRefused: the server answered with an error.
            ServerUnavailable: no answer, for as long as retries are allowed.
        """
        give_up_at = time.monotonic() + self._retry_s
        untried = set(self._servers)
        while True:
            now = time.monotonic()
            server = min(self._servers, key=lambda s: (max(s.rests_until, now), s.under_way))
            if server.rests_until > now:
                await asyncio.sleep((server.rests_until - now) * random.uniform(1.0, 1.2))  # not all at once
                continue
            untried.discard(server)
            server.under_way += 1
            try:
                answer = await server.connection.infer(model, payload, outputs, class_count)
            except TryAgain as error:
                _log.info("%s", error)  # who wants to know how often a request is sent again, and why, listens here
                server.rest(now)
                if not untried and server.rests_until > give_up_at:
                    raise ServerUnavailable(f"{error} (gave up after {self._retry_s:g} s)") from error
            else:
                server.wake()
                return answer, server.connection
            finally:
                server.under_way -= 1

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(connection.close() for connection in self.connections))
