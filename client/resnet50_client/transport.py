"""One interface over Triton's gRPC and HTTP clients: the same calls, the same errors.

tritonclient's two asyncio clients differ in how they report errors (status names or HTTP codes, and
aiohttp's own exceptions), in timeouts, and in the types inside the JSON they return. All of that ends here.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.utils import InferenceServerException

from resnet50_client.endpoint import Access, Endpoint
from resnet50_client.errors import ModelMismatch, RequestRefused, ServerUnavailable
from resnet50_client.shm import SharedMemory

# gRPC status names and HTTP codes of what is not the image's fault: "not now", a model's process that died, a proxy
# without a server behind it. They are worth another try, and they say nothing about the image.
UNAVAILABLE = {"StatusCode.UNAVAILABLE", "408", "429", "502", "503", "504"}
SERVER_FAULT = {
    *("StatusCode.INTERNAL", "StatusCode.UNKNOWN", "StatusCode.ABORTED", "StatusCode.DATA_LOSS"),
    *("StatusCode.CANCELLED", "StatusCode.RESOURCE_EXHAUSTED", "499", "500"),
}
FAULT_WORDS = ("is not healthy", "Failed to process the request")
# Of a model that was there a moment ago it means the same: so Triton answers over gRPC while it ends.
NOT_FOUND = {"StatusCode.NOT_FOUND", "404"}
RESTRICTED = "protocol is restricted"  # UNAVAILABLE too, and so it stays until a header is sent
NO_ANSWER = {"StatusCode.DEADLINE_EXCEEDED"}
LONGEST_DELAY_S = 2.0
# Over gRPC a server with requests of ours is asked this often whether it is there. Without, those of a machine that is
# gone would wait for the request's own timeout. `serve` allows 10 s; others allow two such questions in five minutes.
KEEPALIVE_S, KEEPALIVE_TIMEOUT_S = 20.0, 10.0
CONNECT_TIMEOUT_S = 10.0  # gRPC's own is 20 s, for which requests wait that another server could answer


class TryAgain(ServerUnavailable):
    """The server said "not now", or there was none to say it."""


class ServerFault(TryAgain):
    """The server is there, and failed at this request by no fault of the image."""


class _NotFound(RequestRefused):
    """The server knows no such thing."""


@dataclass(frozen=True)
class Payload:
    """One image as an input tensor, batch of one."""

    tensor: str
    datatype: str
    data: npt.NDArray[Any]  # with the batch dimension
    slot: int | None = None  # where it lies in shared memory as well
    size_bytes: int = 0  # there


@dataclass(frozen=True)
class ModelFacts:
    """What a model's configuration says; "" is what it does not say."""

    cards: str  # such as "software:0", or several with commas between them
    channel_order: str  # of PIXELS: BGR or RGB
    xclbin_uuid: str  # 32 hex digits
    decoding: str  # how images become 224x224: stretch or center_crop
    class_names: str  # one a line, where Triton itself does not tell them


class Connection:
    """An open connection to one server. Use from one event loop; close when done."""

    def __init__(self, endpoint: Endpoint, access: Access, *, connections: int, timeout_s: float) -> None:
        """Open lazily: nothing is sent yet.

        Args:
            endpoint: the server.
            access: certificates and headers.
            connections: how many requests may be in flight at once (HTTP needs a connection for each).
            timeout_s: how long one request may take.
        """
        self.endpoint = endpoint
        self.xclbin_uuid: str | None = None  # as `facts` found it
        self.is_known = False  # whether `facts` has asked since the server was last away
        self._timeout_s = timeout_s
        self._call_options: dict[str, Any] = {}
        self._json_options: dict[str, Any] = {}
        self._lost: tuple[type[Exception], ...] = ()  # what else a broken connection raises
        self._shm: SharedMemory | None = None
        self._api: Any
        headers = {name.lower(): value for name, value in access.headers.items()}  # gRPC takes no capitals
        if headers:
            self._call_options["headers"] = headers
        # Imported when asked for: each brings a network stack that takes a quarter of a second to load.
        if endpoint.protocol == "grpc":
            import tritonclient.grpc.aio

            self._api = tritonclient.grpc.aio
            self._call_options["client_timeout"] = timeout_s
            self._json_options["as_json"] = True
            files = {"root_certificates": access.ca, "certificate_chain": access.certificate, "private_key": access.key}
            tls: dict[str, Any] = {"ssl": True, **files} if endpoint.tls else {}
            self._client = self._api.InferenceServerClient(
                endpoint.address, channel_args=_channel_args(endpoint), **tls
            )
        else:
            import aiohttp
            import tritonclient.http.aio

            self._api = tritonclient.http.aio
            self._lost = (aiohttp.ClientError, ConnectionError)
            tls = {"ssl": True, "ssl_context": access.ssl_context()} if endpoint.tls else {}
            self._client = self._api.InferenceServerClient(
                endpoint.address, conn_limit=connections, conn_timeout=timeout_s, **tls
            )

    async def close(self) -> None:
        """Give shared memory back and close the connection."""
        try:
            if self._shm:
                await self._query(self._client.unregister_system_shared_memory, self._shm.name, json=False)
        except (RequestRefused, ServerUnavailable):
            pass  # a server that is gone has no memory of ours
        finally:
            await self._client.close()

    async def server_metadata(self) -> dict[str, Any]:
        """Ask for the server's name, version and extensions, once: a server that is not there is reported at once.

        Raises:
            ServerUnavailable: no server answers at this address.
            RequestRefused: a server does, but requires other credentials, or is no Triton.
        """
        try:
            metadata: dict[str, Any] = await self._query(self._client.get_server_metadata)
            return metadata
        except TryAgain as error:
            raise ServerUnavailable(
                f"{error} (is the server running, and is this its port? "
                "by default gRPC has 8001 and HTTP 8000; with TLS, is this its certificate?)"
            ) from error

    async def model_metadata(self, model: str) -> dict[str, Any]:
        """Ask for a model's inputs and outputs.

        Raises:
            ModelMismatch: the server has no such model ready.
        """
        try:
            metadata: dict[str, Any] = await self._query(self._client.get_model_metadata, model)
            return metadata
        except RequestRefused as error:
            raise ModelMismatch(
                f"no model '{model}' on {self.endpoint}: {error}{await self._ready_models()}"
            ) from error

    async def _ready_models(self) -> str:
        """The models that could be asked for instead, as a remark; empty where the server does not list them."""
        try:
            index: Any = await self._query(self._client.get_model_repository_index)
        except (RequestRefused, ServerUnavailable):
            return ""
        entries = index.get("models", []) if isinstance(index, dict) else index
        ready = sorted({entry["name"] for entry in entries if entry.get("state") == "READY"})
        return f" (ready models: {', '.join(ready) or 'none'})"

    async def model_config(self, model: str) -> dict[str, Any]:
        """Ask for a model's configuration."""
        answer = await self._query(self._client.get_model_config, model)
        config: dict[str, Any] = answer.get("config", answer)
        return config

    async def facts(self, model: str) -> ModelFacts:
        """What the configurations of a model and of an ensemble's steps say; nothing where they are secret."""
        told = []
        try:
            config = await self.model_config(model)
            steps = [step["model_name"] for step in config.get("ensemble_scheduling", {}).get("step", [])]
            told = [(await self.model_config(step)).get("parameters", {}) for step in steps]
            told.append(config.get("parameters", {}))
        except RequestRefused:  # as by a server whose configuration is for its operators
            pass
        values = {name: value.get("string_value", "") for one in told for name, value in one.items()}
        uuid = values.get("xclbin_uuid", "").replace("-", "").lower()
        self.xclbin_uuid, self.is_known = uuid or None, True
        return ModelFacts(
            values.get("card", ""),
            values.get("channel_order", "BGR"),
            uuid,
            values.get("mode", ""),
            values.get("class_names", ""),
        )

    async def share_memory(self, shm: SharedMemory) -> None:
        """Let the server read images from `shm`.

        Raises:
            RequestRefused: it cannot.
        """
        register = self._client.register_system_shared_memory
        try:
            await self._query(register, shm.name, shm.key, shm.size_bytes, json=False)
        except RequestRefused as error:
            if "already in manager" not in str(error):  # two addresses may lead to one server
                raise
        self._shm = shm

    async def infer(
        self, model: str, payload: Payload, outputs: Sequence[str], class_count: int = 0
    ) -> dict[str, npt.NDArray[Any]]:
        """Send one image, once, and return the outputs asked for.

        Args:
            model: its name on the server.
            payload: the image.
            outputs: the tensors to ask for.
            class_count: if not 0, ask Triton for this many "score:class:name" strings instead of each tensor.

        Returns:
            The outputs by name, without their batch dimension.

        Raises:
            RequestRefused: the server answered with an error; this image cannot be classified.
            TryAgain: the server is unavailable, or failed (ServerFault).
            ServerUnavailable: no answer in time.
        """
        wanted = [self._api.InferRequestedOutput(output, class_count=class_count) for output in outputs]

        async def request() -> Any:
            return await self._client.infer(model, [self._tensor(payload)], outputs=wanted, **self._call_options)

        try:
            result = await self._once(request)
        except RequestRefused as error:
            if self._shm and "shared memory region" in str(error):
                self._shm = None  # it restarted and knows nothing of our memory: send as usual from now on
                raise self._unavailable(error) from error
            if isinstance(error, _NotFound):
                raise self._unavailable(error) from error
            raise
        try:
            return {output: result.as_numpy(output)[0] for output in outputs}
        except (TypeError, IndexError, ValueError) as error:
            raise ServerFault(f"{self.endpoint} failed: its answer is without {', '.join(outputs)}") from error

    def _tensor(self, payload: Payload) -> Any:
        tensor = self._api.InferInput(payload.tensor, list(payload.data.shape), payload.datatype)
        if self._shm and payload.slot is not None:
            tensor.set_shared_memory(self._shm.name, payload.size_bytes, self._shm.offset(payload.slot))
        else:
            tensor.set_data_from_numpy(payload.data)
        return tensor

    async def _query(self, call: Callable[..., Awaitable[Any]], *arguments: Any, json: bool = True) -> Any:
        options = {**self._call_options, **(self._json_options if json else {})}

        async def request() -> Any:
            return await call(*arguments, **options)

        return await self._once(request)

    async def _once(self, request: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await request()
        except InferenceServerException as error:
            if error.status() in NO_ANSWER:
                raise self._no_answer() from error
            if error.status() in UNAVAILABLE and RESTRICTED not in str(error.message()):
                raise self._unavailable(error.message()) from error
            if self._is_server_fault(error):
                raise ServerFault(f"{self.endpoint} failed: {error.message()}") from error
            refusal = _NotFound if error.status() in NOT_FOUND else RequestRefused
            raise refusal(str(error.message())) from error
        except asyncio.TimeoutError as error:  # before what is next: aiohttp's timeouts are both
            raise self._no_answer() from error
        except self._lost as error:
            raise self._unavailable(error) from error
        except (ValueError, LookupError, struct.error) as error:  # of what tritonclient makes of an odd answer
            raise ServerFault(f"{self.endpoint} failed: its answer cannot be read: {error}") from error

    @staticmethod
    def _is_server_fault(error: InferenceServerException) -> bool:
        message = str(error.message())
        is_said = any(words in message for words in FAULT_WORDS)  # over HTTP some of them come as 400
        return (is_said or error.status() in SERVER_FAULT) and "larger than max" not in message

    def _no_answer(self) -> ServerUnavailable:
        return ServerUnavailable(f"no answer from {self.endpoint} within {self._timeout_s:g} s")

    def _unavailable(self, reason: object) -> TryAgain:
        return TryAgain(f"{self.endpoint} is unavailable: {reason}")


def bytes_payload(image: bytes) -> Payload:
    """An encoded image as the tensor IMAGE."""
    return Payload("IMAGE", "BYTES", np.array([[image]], dtype=np.object_))


def pixels_payload(pixels: npt.NDArray[np.uint8]) -> Payload:
    """pixels: uint8 (224, 224, 3), in the model's `channel_order`, as the tensor PIXELS."""
    return Payload("PIXELS", "UINT8", pixels[None])


def _channel_args(endpoint: Endpoint) -> list[tuple[str, int | str]]:
    return [  # all of them: tritonclient sets none of its own beside these
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_reconnect_backoff_ms", int(1000 * LONGEST_DELAY_S)),  # gRPC's own 120 s would outlast our retries
        ("grpc.keepalive_time_ms", int(1000 * KEEPALIVE_S)),
        ("grpc.keepalive_timeout_ms", int(1000 * KEEPALIVE_TIMEOUT_S)),
        ("grpc.http2.ping_timeout_ms", int(1000 * KEEPALIVE_TIMEOUT_S)),  # the same where this is gRPC's, else 60 s
        ("grpc.min_reconnect_backoff_ms", int(1000 * CONNECT_TIMEOUT_S)),
        ("grpc.enable_http_proxy", 0 if endpoint.is_local else 1),  # http_proxy is not for this machine
        ("grpc.use_local_subchannel_pool", 1),  # else gRPC joins channels to one address, whatever their options
        ("grpc.lb_policy_name", "round_robin"),  # a name with several addresses: all of them get calls
    ]
