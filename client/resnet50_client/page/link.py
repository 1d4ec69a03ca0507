"""The page's connection to the server: opened when it is needed, and again after the server was away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from resnet50_client.api import AsyncClient
from resnet50_client.errors import ServerUnavailable


@dataclass
class _Held:
    """A client, and who uses it."""

    client: AsyncClient
    users: int = 0
    is_retired: bool = False  # its server was away: it may know names and an xclbin of before


class Link:
    """Lends a connected AsyncClient. Use from one event loop; close when done."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Prepare; nothing is sent yet.

        Args:
            options: of AsyncClient.
        """
        self._options = options
        self._held: _Held | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncClient]:
        """A connected client. After a ServerUnavailable within it, the next one is a new one.

        Raises:
            ServerUnavailable: nobody answers.
            ModelMismatch: somebody does, and has other models.
        """
        held = await self._open()
        held.users += 1
        try:
            yield held.client
        except ServerUnavailable:
            held.is_retired = True
            raise
        finally:
            held.users -= 1
            await self._close_retired(held)

    async def _open(self) -> _Held:
        async with self._opening:
            if self._held is None or self._held.is_retired:
                client = AsyncClient(**self._options)
                await client.__aenter__()
                self._held = _Held(client)
            return self._held

    async def _close_retired(self, held: _Held) -> None:
        if held.is_retired and not held.users:
            if self._held is held:
                self._held = None
            await held.client.__aexit__(None, None, None)

    async def close(self) -> None:
        """Close the connection."""
        if self._held:
            self._held.is_retired = True
            await self._close_retired(self._held)
