"""Balances requests over several servers: each goes to the least loaded one, or to another if that is unavailable."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from resnet50_client.errors import ServerUnavailable
from resnet50_client.transport import LONGEST_DELAY_S, Connection, Payload, ServerFault, TryAgain

FIRST_DELAY_S = 0.1

_log = logging.getLogger(__name__)


class _Server:
    """A connection, what it has to do, and until when to leave it alone."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.in_flight = 0
        self.rests_until = 0.0
        self._delay_s = FIRST_DELAY_S
        self._learning = asyncio.Lock()

    def rest(self, sent_at: float) -> None:
        """It was unavailable to a request of that time: wait twice as long as the last time before the next."""
        self.connection.is_known = False  # who comes back may have another xclbin
        if sent_at >= self.rests_until:  # all requests in flight fail as one, and count as one
            self.rests_until = time.monotonic() + self._delay_s
            self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    async def wake(self, model: str) -> None:
        """It answered."""
        self.rests_until = 0.0
        self._delay_s = FIRST_DELAY_S
        if not self.connection.is_known:
            async with self._learning:
                if not self.connection.is_known:
                    with contextlib.suppress(ServerUnavailable):
                        await self.connection.facts(model)


class Balancer:
    """Servers that serve the same model."""

    def __init__(self, connections: Sequence[Connection], retry_s: float) -> None:
        """Take over connections.

        Args:
            connections: at least one.
            retry_s: how long one request goes on trying while every server is unavailable or fails; 0 tries each once.
        """
        self.connections = list(connections)
        self._servers = [_Server(connection) for connection in connections]
        self._retry_s = retry_s
        self._answered_at = 0.0

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
            ServerFault: the servers failed at this image for as long as retries are allowed, and answered others.
            ServerUnavailable: no answer to anything, for as long as retries are allowed.
        """
        began = time.monotonic()
        give_up_at = began + self._retry_s
        untried = set(self._servers)
        failed_at: set[_Server] = set()
        delay_s = FIRST_DELAY_S
        while True:
            now = time.monotonic()
            server = min(self._servers, key=lambda s: (max(s.rests_until, now), s in failed_at, s.in_flight))
            if server.rests_until > now:
                await asyncio.sleep((server.rests_until - now) * random.uniform(1.0, 1.2))  # not all at once
                continue
            untried.discard(server)
            server.in_flight += 1
            try:
                answer = await server.connection.infer(model, payload, outputs, class_count)
            except TryAgain as error:
                _log.info("%s", error)  # who wants to know how often a request is sent again, and why, listens here
                if isinstance(error, ServerFault):  # perhaps at this image alone: others need not wait
                    failed_at.add(server)
                    next_try_at = now + delay_s
                else:
                    server.rest(now)
                    next_try_at = server.rests_until
                if not untried and next_try_at > give_up_at:
                    gave_up = f"{error} (gave up after {self._retry_s:g} s)"
                    kind = ServerFault if failed_at and self._answered_at > began else ServerUnavailable
                    raise kind(gave_up) from error
            else:
                self._answered_at = time.monotonic()
                await server.wake(model)
                return answer, server.connection
            finally:
                server.in_flight -= 1
            if len(failed_at) == len(self._servers):
                await asyncio.sleep(delay_s * random.uniform(1.0, 1.2))
                delay_s = min(2 * delay_s, LONGEST_DELAY_S)
                failed_at.clear()

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(connection.close() for connection in self.connections))
