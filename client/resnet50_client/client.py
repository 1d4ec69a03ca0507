"""`AsyncClient`: classify images on a server, many at a time, under asyncio."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Union

from resnet50_client.connect import Connection, Endpoint
from resnet50_client.errors import DatasetError, ModelMismatch, RequestRefused
from resnet50_client.prediction import Candidate, Prediction, rank_logits

Image = Union[bytes, str, "os.PathLike[str]"]  # encoded bytes, or the path of a file that holds them

TOP = 5  # as many classes as the accelerator itself ranks
WINDOW = 64
ORDER_BUFFER = 4  # windows of answers that may wait for an earlier image before sending pauses


@dataclass(frozen=True)
class ServerInfo:
    """Who answered: for reports."""

    url: str
    server: str
    model: str
    cards: tuple[str, ...]  # as configured, such as "software:0"; empty if the server does not say


class AsyncClient:
    """A client for asyncio. Use as `async with AsyncClient(...) as client`, from one event loop."""

    def __init__(
        self,
        url: str | None = None,
        *,
        protocol: str | None = None,
        model: str = "classify",
        top: int = TOP,
        names: Sequence[str] | None = None,
        window: int = WINDOW,
        timeout_s: float = 300.0,
        retry_s: float = 30.0,
    ) -> None:
        """Prepare; `async with` connects.

        Args:
            url: `host:port`, `grpc://host:port` or `http://host:port`; None is localhost.
            protocol: "grpc" (default) or "http".
            model: an ensemble or model that takes IMAGE and gives LOGITS or TOP5.
            top: classes to rank for each image.
            names: class names by id; None asks the server for them.
            window: images under way at once. The server makes its batches from them.
            timeout_s: how long one request may take.
            retry_s: how long to go on trying while the server says UNAVAILABLE.

        Raises:
            DatasetError: an option out of its range.
        """
        if top < 1 or window < 1:
            raise DatasetError(f"top and window must be at least 1, not {top} and {window}")
        self.endpoint = Endpoint.parse(url, protocol)
        self.model = model
        self.top = top
        self.window = window
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._names: Mapping[int, str] | None = dict(enumerate(names)) if names is not None else None
        self._names_lock: asyncio.Lock
        self._connection: Connection
        self._output = ""
        self._classes = 0

    async def __aenter__(self) -> AsyncClient:
        """Connect and check that the model is there and speaks our tensors.

        Raises:
            ServerUnavailable: nobody answers.
            ModelMismatch: no such model, or other tensors than IMAGE and LOGITS or TOP5.
        """
        self._names_lock = asyncio.Lock()
        self._connection = Connection(
            self.endpoint, connections=self.window, timeout_s=self._timeout_s, retry_s=self._retry_s
        )
        try:
            await self._connection.server_metadata()
            self._adopt(await self._connection.model_metadata(self.model))
        except BaseException:
            await self._connection.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    @property
    def names(self) -> Mapping[int, str]:
        """Class names by id: those given, or those that the server told with its first answer."""
        return self._names or {}

    def _adopt(self, metadata: Mapping[str, Any]) -> None:
        """Choose the output to ask for: LOGITS where the card image gives them, else TOP5."""
        inputs = [tensor["name"] for tensor in metadata["inputs"]]
        widths = {tensor["name"]: int(tensor["shape"][-1]) for tensor in metadata["outputs"]}
        self._output = next((name for name in ("LOGITS", "TOP5") if name in widths), "")
        if inputs != ["IMAGE"] or not self._output:
            raise ModelMismatch(
                f"model '{self.model}' takes {', '.join(inputs)} and gives {', '.join(widths)}; "
                "this client sends IMAGE and needs LOGITS or TOP5: use the model 'classify'"
            )
        if self.top > widths[self._output]:
            raise ModelMismatch(
                f"top {self.top} was asked for, but {self._output} of model '{self.model}' "
                f"ranks only {widths[self._output]} classes"
            )
        self._classes = widths[self._output]

    async def describe(self) -> ServerInfo:
        """Ask who answers: server version, model and cards.

        Raises:
            ServerUnavailable: nobody answers.
        """
        server = await self._connection.server_metadata()
        version = (await self._connection.model_metadata(self.model))["versions"][-1]
        config = await self._connection.model_config(self.model)
        steps = [step["model_name"] for step in config.get("ensemble_scheduling", {}).get("step", [])]
        configs = [config] + [await self._connection.model_config(step) for step in steps]
        cards = {c["parameters"]["card"]["string_value"] for c in configs if "card" in c.get("parameters", {})}
        return ServerInfo(
            url=str(self.endpoint),
            server=f"{server['name']} {server['version']}",
            model=f"{self.model} {version}",
            cards=tuple(sorted(cards)),
        )

    async def classify(self, images: Iterable[Image]) -> list[Prediction]:
        """Classify images; the answers are in the order of `images`. Like `stream`, as a list."""
        return [prediction async for prediction in self.stream(images)]

    async def stream(self, images: Iterable[Image]) -> AsyncGenerator[Prediction, None]:
        """Classify images, `window` at a time, and yield the answers in order.

        Paths are read when their turn comes, so memory holds one window of images.

        An image that cannot be read or that the server refuses yields a Prediction with `error` set.

        Args:
            images: encoded bytes or paths; taken from the iterable as there is room.

        Raises:
            ServerUnavailable: the server went away and stayed away.
        """
        room = asyncio.Semaphore(self.window)
        pending: deque[asyncio.Task[Prediction]] = deque()

        async def one(position: int, image: Image) -> Prediction:
            async with room:
                return await self._classify_one(position, image)

        try:
            for position, image in enumerate(images):
                pending.append(asyncio.create_task(one(position, image)))
                while pending and (pending[0].done() or len(pending) >= ORDER_BUFFER * self.window):
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _classify_one(self, position: int, image: Image) -> Prediction:
        source = f"image {position}" if isinstance(image, bytes) else os.fspath(image)
        try:
            data = image if isinstance(image, bytes) else await asyncio.to_thread(Path(image).read_bytes)
        except OSError as error:
            return Prediction(source, error=f"cannot read the file: {error.strerror}")
        started = time.perf_counter()
        try:
            answer = await self._connection.infer(self.model, data, self._output)
            latency_s = time.perf_counter() - started
            names = await self._names_learned_from(data)
        except RequestRefused as error:
            return Prediction(source, error=str(error), latency_s=time.perf_counter() - started)
        if self._output == "TOP5":
            top = tuple(Candidate(int(i), names.get(int(i))) for i in answer[: self.top])
            return Prediction(source, top, latency_s=latency_s)
        ranked = rank_logits(answer, max(2, self.top), names)
        margin = (ranked[0].score or 0) - (ranked[1].score or 0)
        return Prediction(source, ranked[: self.top], margin, latency_s=latency_s)

    async def _names_learned_from(self, image: bytes) -> Mapping[int, str]:
        """Names of all classes, asked for once: Triton tells them as part of a classification of a good image."""
        async with self._names_lock:
            if self._names is None:
                self._names = {}
                if self._output == "LOGITS":  # the classification extension ranks scores, and TOP5 has none
                    lines = await self._connection.infer(self.model, image, "LOGITS", class_count=self._classes)
                    fields = [line.decode("utf-8", "replace").split(":", 2) for line in lines]
                    self._names = {int(field[1]): field[2] for field in fields if len(field) == 3}
        return self._names
