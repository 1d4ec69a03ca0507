"""One face over Triton's gRPC and HTTP clients: the same calls, the same errors.

tritonclient's two asyncio clients differ in how they report errors (status names or HTTP codes, and
aiohttp's own exceptions), in timeouts, and in the types inside the JSON they return. All of that ends here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.utils import InferenceServerException

from resnet50_client.errors import DatasetError, ModelMismatch, RequestRefused, ServerUnavailable

DEFAULT_PORTS = {"grpc": 8001, "http": 8000}
# gRPC status names and HTTP codes that mean "not now": the only answers that are worth a second try.
UNAVAILABLE = {"StatusCode.UNAVAILABLE", "502", "503", "504"}
NO_ANSWER = {"StatusCode.DEADLINE_EXCEEDED"}
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 2.0


@dataclass(frozen=True)
class Endpoint:
    """Where the server listens and how to talk to it."""

    protocol: str  # "grpc" or "http"
    address: str  # host:port

    @classmethod
    def parse(cls, url: str | None = None, protocol: str | None = None) -> Endpoint:
        """Read a URL such as `localhost:8001`, `host` or `http://host:8000`.

        Args:
            url: host, host:port, or either with `grpc://` or `http://` before it; None is localhost.
            protocol: "grpc" or "http"; None takes the URL's scheme, or else gRPC.

        Raises:
            DatasetError: an unknown protocol, or a scheme that contradicts `protocol`.
        """
        scheme, separator, rest = (url or "localhost").rpartition("://")
        if separator and protocol and scheme != protocol:
            raise DatasetError(f"url '{url}' says {scheme}, but the protocol asked for is {protocol}: drop one of them")
        chosen = protocol or scheme or "grpc"
        if chosen not in DEFAULT_PORTS:
            raise DatasetError(f"protocol '{chosen}' is not known (use grpc or http)")
        address = rest.rstrip("/")
        has_port = address.rpartition(":")[2].isdigit()
        return cls(chosen, address if has_port else f"{address}:{DEFAULT_PORTS[chosen]}")

    def __str__(self) -> str:
        return f"{self.protocol}://{self.address}"


class Connection:
    """An open connection to one server. Use from one event loop; close when done."""

    def __init__(self, endpoint: Endpoint, *, connections: int, timeout_s: float, retry_s: float) -> None:
        """Open lazily: nothing is sent yet.

        Args:
            endpoint: the server.
            connections: how many requests may be under way at once (HTTP needs a connection for each).
            timeout_s: how long one request may take.
            retry_s: how long to go on trying while the server says UNAVAILABLE; 0 tries once.
        """
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._call_options: dict[str, Any] = {}
        self._json_options: dict[str, Any] = {}
        self._lost: type[Exception] | tuple[()] = ()  # what else a broken connection raises
        self._api: Any
        # Imported when asked for: each brings a network stack that takes a quarter of a second to load.
        if endpoint.protocol == "grpc":
            import tritonclient.grpc.aio

            self._api = tritonclient.grpc.aio
            self._call_options["client_timeout"] = timeout_s
            self._json_options["as_json"] = True
            self._client = self._api.InferenceServerClient(endpoint.address, channel_args=_channel_args(endpoint))
        else:
            import aiohttp
            import tritonclient.http.aio

            self._api = tritonclient.http.aio
            self._lost = aiohttp.ClientError
            self._client = self._api.InferenceServerClient(
                endpoint.address, conn_limit=connections, conn_timeout=timeout_s
            )

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    async def server_metadata(self) -> dict[str, Any]:
        """Ask for the server's name, version and extensions, once: a server that is not there is reported at once.

        Raises:
            ServerUnavailable: nobody answers at this address.
        """
        try:
            return await self._query(self._client.get_server_metadata)
        except _TryAgain as error:
            raise ServerUnavailable(
                f"{error} (is the server running, and is this its port? by default gRPC has "
                f"{DEFAULT_PORTS['grpc']} and HTTP {DEFAULT_PORTS['http']})"
            ) from error

    async def model_metadata(self, model: str) -> dict[str, Any]:
        """Ask for a model's inputs and outputs.

        Raises:
            ModelMismatch: the server has no such model ready.
        """
        try:
            return await self._query(self._client.get_model_metadata, model)
        except RequestRefused as error:
            index: Any = await self._query(self._client.get_model_repository_index)
            entries = index.get("models", []) if isinstance(index, dict) else index
            ready = sorted({entry["name"] for entry in entries if entry.get("state") == "READY"})
            raise ModelMismatch(
                f"no model '{model}' on {self.endpoint}: {error} (ready models: {', '.join(ready) or 'none'})"
            ) from error

    async def model_config(self, model: str) -> dict[str, Any]:
        """Ask for a model's configuration."""
        answer = await self._query(self._client.get_model_config, model)
        config: dict[str, Any] = answer.get("config", answer)
        return config

    async def infer(self, model: str, image: bytes, output: str, class_count: int = 0) -> Any:
        """Send one encoded image and return one output.

        Args:
            model: its name on the server.
            image: an encoded picture, as read from its file.
            output: the tensor to ask for.
            class_count: if not 0, ask Triton for this many "score:class:name" strings instead of the tensor.

        Returns:
            The output without its batch dimension, as a NumPy array.

        Raises:
            RequestRefused: the server answered with an error; this image cannot be classified.
            ServerUnavailable: no answer, for as long as retries are allowed.
        """
        tensor = self._api.InferInput("IMAGE", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[image]], dtype=np.object_))
        wanted = self._api.InferRequestedOutput(output, class_count=class_count)

        async def request() -> Any:
            return await self._client.infer(model, [tensor], outputs=[wanted], **self._call_options)

        result = await self._patiently(request)
        return result.as_numpy(output)[0]

    async def _query(self, call: Callable[..., Awaitable[Any]], *arguments: str) -> dict[str, Any]:
        async def request() -> Any:
            return await call(*arguments, **self._json_options, **self._call_options)

        answer: dict[str, Any] = await self._once(request)
        return answer

    async def _patiently(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """Repeat a request while the server is unavailable, waiting longer each time."""
        give_up_at = time.monotonic() + self._retry_s
        delay_s = FIRST_DELAY_S
        while True:
            try:
                return await self._once(request)
            except _TryAgain as error:
                if time.monotonic() + delay_s > give_up_at:
                    raise ServerUnavailable(f"{error} (gave up after {self._retry_s:g} s)") from error
            await asyncio.sleep(delay_s * random.uniform(0.8, 1.2))  # lest a window return as one
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    async def _once(self, request: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await request()
        except InferenceServerException as error:
            if error.status() in NO_ANSWER:
                raise self._no_answer() from error
            if error.status() in UNAVAILABLE:
                raise self._unavailable(error.message()) from error
            raise RequestRefused(str(error.message())) from error
        except asyncio.TimeoutError as error:  # before what is next: aiohttp's timeouts are both
            raise self._no_answer() from error
        except self._lost as error:
            raise self._unavailable(error) from error

    def _no_answer(self) -> ServerUnavailable:
        return ServerUnavailable(f"no answer from {self.endpoint} within {self._timeout_s:g} s")

    def _unavailable(self, reason: object) -> _TryAgain:
        return _TryAgain(f"{self.endpoint} is unavailable: {reason}")


class _TryAgain(ServerUnavailable):
    """The server said "not now", or there was none to say it."""


def _channel_args(endpoint: Endpoint) -> list[tuple[str, int]]:
    local = endpoint.address.rpartition(":")[0] in {"localhost", "127.0.0.1", "[::1]"}
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_reconnect_backoff_ms", int(1000 * LONGEST_DELAY_S)),  # gRPC's own 120 s would outlast our retries
        ("grpc.enable_http_proxy", 0 if local else 1),  # http_proxy in the environment is not for this machine
    ]
