"""`AsyncClient`: classify images on one server or several, many at a time, under asyncio."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from resnet50_client.balancer import Balancer
from resnet50_client.endpoint import Access, Endpoint
from resnet50_client.errors import DatasetError, ModelMismatch, RequestRefused, ServerUnavailable
from resnet50_client.formats import as_server_takes
from resnet50_client.images import Image, Item, as_images, as_item
from resnet50_client.inspection import Inspection, inspect
from resnet50_client.pixels import decode_pixels, require_opencv
from resnet50_client.prediction import PROVENANCE, Prediction, Times, read_answer
from resnet50_client.shm import SharedMemory
from resnet50_client.transport import Connection, Payload, ServerFault, bytes_payload, pixels_payload

TOP = 5  # as many classes as the accelerator itself ranks
CONCURRENCY = 64  # images in flight for each server
ORDER_BUFFER = 4  # times `concurrency`: answers that may wait for an earlier image before sending pauses
RANKED = ("LOGITS", "TOP5")  # the better first
# One black pixel: a picture to ask about when it is only the class names that are wanted.
TINY_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c636060"
    "60000000040001f61738550000000049454e44ae426082"
)


@dataclass(frozen=True)
class ServerInfo:
    """Who answers: for reports."""

    url: str  # several are separated by commas
    server: str
    model: str
    cards: tuple[str, ...]  # as configured, such as "software:0"; empty if the server does not say
    xclbins: tuple[str, ...] = ()  # UUIDs, as configured
    tells_provenance: bool = False  # whether each answer says where and when it was computed
    decoding: tuple[str, ...] = ()  # how the server brings images to 224x224, as configured: stretch or center_crop

    @property
    def computes_nothing(self) -> bool:
        """Whether a card is one that only takes an Alveo's time, and answers with zeros."""
        return any("timing:" in card for card in self.cards)


class AsyncClient:
    """A client for asyncio. Use as `async with AsyncClient(...) as client`, from one event loop."""

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        protocol: str | None = None,
        access: Access | None = None,
        model: str | None = None,
        pixels: bool = False,
        shm: bool = False,
        top: int = TOP,
        names: Sequence[str] | None = None,
        logits: bool = False,
        concurrency: int | None = None,
        timeout_s: float = 300.0,
        retry_s: float = 30.0,
    ) -> None:
        """Prepare; `async with` connects.

        Args:
            url: `host:port` or `http://host:port` (with TLS grpcs, https); None is localhost. Of several, each image
                goes to the one with the least to do.
            protocol: "grpc" (default) or "http".
            access: certificates and headers, for servers that ask for them.
            model: an ensemble or model that gives LOGITS or TOP5; None is "classify", with `pixels` "resnet50".
            pixels: decode here and send PIXELS rather than IMAGE; needs OpenCV.
            shm: pass images in shared memory; only for servers on this machine.
            top: classes to rank for each image.
            names: class names by id; None asks the server for them.
            logits: keep all of an image's logits in its Prediction.
            concurrency: images in flight at once, 64 for each server if None. The servers make their batches from them.
            timeout_s: how long one request may take.
            retry_s: how long to go on trying while every server is unavailable or fails.

        Raises:
            DatasetError: an option out of its range, or options that do not go together.
        """
        urls = [url] if url is None or isinstance(url, str) else list(url)
        self.endpoints = [Endpoint.parse(each, protocol) for each in urls]
        self.concurrency = CONCURRENCY * len(urls) if concurrency is None else concurrency
        if top < 1 or self.concurrency < 1 or not urls:
            raise DatasetError(
                f"top, concurrency and urls must be at least 1, not {top}, {concurrency} and {len(urls)}"
            )
        remote = [str(endpoint) for endpoint in self.endpoints if not endpoint.is_local]
        if shm and remote:
            raise DatasetError(f"shared memory is for servers on this machine, and {remote[0]} is not (leave out shm)")
        if pixels:
            require_opencv()
        self.model = model or ("resnet50" if pixels else "classify")
        self.pixels = pixels
        self.shm = shm
        self.top = top
        self.logits = logits
        self._access = access or Access()
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._names: Mapping[int, str] | None = dict(enumerate(names)) if names is not None else None
        self._room: asyncio.Semaphore
        self._servers: Balancer
        self._memory: SharedMemory | None = None
        self._slots: list[int] = []
        self._outputs: list[str] = []
        self._classes = 0
        self._channel_order = ""
        self._told_names: list[str] = []
        self.decoded_here: Counter[str] = Counter()  # images of formats that the server does not take
        self.unreachable: dict[str, str] = {}  # URL and reason of servers that did not answer at the start

    async def __aenter__(self) -> AsyncClient:
        """Connect and check that the model is there and speaks our tensors. Of several servers, one must answer.

        Raises:
            ServerUnavailable: no server answers.
            ModelMismatch: no such model, or other tensors than expected.
        """
        self._room = asyncio.Semaphore(self.concurrency)
        self._slots = list(range(self.concurrency - 1, -1, -1))
        self._servers = Balancer(
            [
                Connection(endpoint, self._access, connections=self.concurrency, timeout_s=self._timeout_s)
                for endpoint in self.endpoints
            ],
            self._retry_s,
        )
        try:
            await self._greet()
            await self._learn_names()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        await self._servers.close()
        if self._memory:
            self._memory.close()

    async def _greet(self) -> None:
        self._memory = SharedMemory(self.concurrency) if self.shm else None
        self.unreachable = {}
        for connection in self._servers.connections:
            try:
                await connection.server_metadata()
                self._adopt(await connection.model_metadata(self.model), connection)
                await self._adopt_order(connection)
                if self._memory:
                    await self._share(connection, self._memory)
            except ServerUnavailable as error:
                self.unreachable[str(connection.endpoint)] = str(error)
                refusal = error
        if self._memory:
            self._memory.forget_name()
        if len(self.unreachable) == len(self.endpoints):
            raise refusal

    async def _share(self, connection: Connection, memory: SharedMemory) -> None:
        try:
            await connection.share_memory(memory)
        except RequestRefused as error:
            raise DatasetError(
                f"{connection.endpoint} cannot open our shared memory: {error} "
                "(in a container? share /dev/shm with it, or leave out shm)"
            ) from error

    @property
    def names(self) -> Mapping[int, str]:
        """Class names by id: those given, or the server's."""
        return self._names or {}

    @property
    def classes(self) -> int:
        """How many classes the model ranks: 1000, or 5 where the card answers the best ids only."""
        return self._classes

    def _adopt(self, metadata: Mapping[str, Any], connection: Connection) -> None:
        """Choose the outputs to ask for: LOGITS where the xclbin gives them, else TOP5; and PROVENANCE if known."""
        inputs = [tensor["name"] for tensor in metadata["inputs"]]
        widths = {tensor["name"]: int(tensor["shape"][-1]) for tensor in metadata["outputs"]}
        ranked = next((name for name in RANKED if name in widths), "")
        needed = "PIXELS" if self.pixels else "IMAGE"
        if inputs != [needed] or not ranked:
            hint = "decode in the client (--pixels)" if inputs == ["PIXELS"] else "use the model 'classify'"
            raise ModelMismatch(
                f"model '{self.model}' takes {', '.join(inputs)} and gives {', '.join(widths)}; "
                f"this client sends {needed} and needs LOGITS or TOP5: {hint}"
            )
        if self.logits and ranked != "LOGITS":
            raise ModelMismatch(
                f"logits were asked for, but model '{self.model}' gives class ids only: leave out logits"
            )
        if self.top > widths[ranked]:
            raise ModelMismatch(
                f"top {self.top} was asked for, but {ranked} of model '{self.model}' "
                f"ranks only {widths[ranked]} classes"
            )
        if self._outputs and ranked != self._outputs[0]:
            raise ModelMismatch(
                f"model '{self.model}' gives {ranked} on {connection.endpoint} but "
                f"{self._outputs[0]} on another server: their answers cannot be compared"
            )
        tells = (PROVENANCE, "INT64") in [(tensor["name"], tensor["datatype"]) for tensor in metadata["outputs"]]
        tells &= not self._outputs or PROVENANCE in self._outputs  # asked of all, or of none
        self._outputs, self._classes = [ranked] + [PROVENANCE] * tells, widths[ranked]

    async def _adopt_order(self, connection: Connection) -> None:
        """Note in which order the model takes the channels of PIXELS, and the names of classes in its configuration."""
        facts = await connection.facts(self.model)
        order, self._told_names = facts.channel_order, facts.class_names.splitlines()
        if self.pixels and self._channel_order not in ("", order):
            raise ModelMismatch(
                f"model '{self.model}' takes PIXELS as {order} on {connection.endpoint} but as "
                f"{self._channel_order} on another server: serve both with one channel_order"
            )
        self._channel_order = order

    async def describe(self) -> ServerInfo:
        """Ask who answers: server versions, model and cards.

        Raises:
            ServerUnavailable: no server answers.
        """
        servers, models, cards, xclbins, decoding = set(), set(), set(), set(), set()
        for connection in self._servers.connections:
            if str(connection.endpoint) in self.unreachable:
                continue
            server = await connection.server_metadata()
            servers.add(f"{server['name']} {server['version']}")
            models.add(f"{self.model} {(await connection.model_metadata(self.model))['versions'][-1]}")
            facts = await connection.facts(self.model)
            cards.add(facts.cards)
            xclbins.add(facts.xclbin_uuid)
            decoding.add(facts.decoding)
        return ServerInfo(
            url=", ".join(map(str, self.endpoints)),
            server=", ".join(sorted(servers)),
            model=", ".join(sorted(models)),
            cards=tuple(sorted(cards - {""})),
            xclbins=tuple(sorted(xclbins - {""})),
            tells_provenance=PROVENANCE in self._outputs,
            decoding=tuple(sorted(decoding - {""})),
        )

    async def classify(self, images: Image | Iterable[Image]) -> list[Prediction]:
        """Classify images; the answers are in the order of `images`. Like `stream`, as a list."""
        return [prediction async for prediction in self.stream(images)]

    async def stream(self, images: Image | Iterable[Image]) -> AsyncGenerator[Prediction, None]:
        """Classify images, `concurrency` at a time, and yield the answers in order.

        Images are read when their turn comes, so memory holds no more of them than are in flight.

        An image that cannot be read or that the server refuses yields a Prediction with `error` set.

        Args:
            images: one or several; an iterable is taken from as there is room. An image is a path (str or Path),
                encoded bytes, a picture of Pillow, an Item, or an array: uint8 (H, W, 3) in RGB, (H, W) in grey, or
                (N,) encoded.

        Raises:
            ServerUnavailable: every server went away and stayed away.
        """
        pending: deque[asyncio.Task[Prediction]] = deque()

        async def one(item: Item) -> Prediction:
            async with self._room:
                slot = self._slots.pop()
                try:
                    return await self._classify_one(item, slot)
                finally:
                    self._slots.append(slot)

        try:
            for position, image in enumerate(as_images(images)):
                pending.append(asyncio.create_task(one(as_item(image, f"image {position}"))))
                while pending and (pending[0].done() or len(pending) >= ORDER_BUFFER * self.concurrency):
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def inspect(self, image: Image) -> Inspection:
        """Classify one image in the two steps of `classify`, to see what the network sees and what each step takes.

        Args:
            image: as for `stream`.

        Raises:
            RequestRefused: the image cannot be read, or the server refuses it.
            ServerUnavailable: no answer.
        """
        item = as_item(image, "image")
        return await inspect(item, self._servers, self._outputs, self._channel_order, self._predict)

    async def _classify_one(self, item: Item, slot: int) -> Prediction:
        start_ns = time.time_ns()
        try:
            payload, decoded = await asyncio.to_thread(self._load, item, slot)
            self.decoded_here.update([decoded] if decoded else [])
        except OSError as error:
            return Prediction(item.name, error=f"cannot read the file: {error.strerror or error}")
        except RequestRefused as error:
            return Prediction(item.name, error=str(error))
        sent_ns, started = time.time_ns(), time.perf_counter()
        try:
            answer, connection = await self._infer(payload)
            prediction = self._predict(item.name, answer, connection)
            if self.logits:
                prediction = replace(prediction, logits=np.asarray(answer["LOGITS"], np.float32))
        except (RequestRefused, ServerFault) as error:
            prediction = Prediction(item.name, error=str(error), is_server_fault=isinstance(error, ServerFault))
        times = Times(start_ns, sent_ns, time.time_ns(), slot)
        return replace(prediction, latency_s=time.perf_counter() - started, times=times)

    async def _infer(self, payload: Payload) -> tuple[Mapping[str, npt.NDArray[Any]], Connection]:
        try:
            return await self._servers.infer(self.model, payload, self._outputs)
        except RequestRefused as error:
            if PROVENANCE not in self._outputs or PROVENANCE not in str(error):
                raise
        self._outputs = self._outputs[:1]  # a server that came back or was added does not report it
        return await self._servers.infer(self.model, payload, self._outputs)

    def _load(self, item: Item, slot: int) -> tuple[Payload, str | None]:
        """Read an image, decode it if that is ours to do, and put it into shared memory. Runs on a thread.

        Returns:
            What to send, and the image's format where the server does not take it.
        """
        data, decoded = (item.read(), None) if self.pixels else as_server_takes(item.read())
        payload = pixels_payload(decode_pixels(data, self._channel_order)) if self.pixels else bytes_payload(data)
        if self._memory:
            content = payload.data.tobytes() if self.pixels else data
            size_bytes = self._memory.put(slot, content, is_string=not self.pixels)
            if size_bytes:
                return replace(payload, slot=slot, size_bytes=size_bytes), decoded
        return payload, decoded

    def _predict(self, source: str, answer: Mapping[str, npt.NDArray[Any]], connection: Connection) -> Prediction:
        """What an answer says, and where it is from."""
        try:
            told = read_answer(source, answer, self.top, self.names)
        except ValueError as error:
            raise ServerFault(f"{connection.endpoint} failed: {error}") from error
        return replace(told, server=str(connection.endpoint), xclbin_uuid=told.xclbin_uuid or connection.xclbin_uuid)

    async def _learn_names(self) -> None:
        """Ask for the names of all classes: Triton tells them as part of a classification, whatever the image."""
        if self._names is not None:
            return
        if "LOGITS" not in self._outputs:  # the extension ranks scores, and TOP5 has none
            self._names = dict(enumerate(self._told_names))
        else:
            payload = (
                pixels_payload(decode_pixels(TINY_PNG, self._channel_order)) if self.pixels else bytes_payload(TINY_PNG)
            )
            answer, _ = await self._servers.infer(self.model, payload, ["LOGITS"], class_count=self._classes)
            fields = [line.decode("utf-8", "replace").split(":", 2) for line in answer["LOGITS"]]
            self._names = {int(field[1]): field[2] for field in fields if len(field) == 3}
