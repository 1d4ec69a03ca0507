"""`Client`: the asyncio client behind calls that block."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from resnet50_client.api import AsyncClient, ServerInfo
from resnet50_client.images import Image
from resnet50_client.inspection import Inspection
from resnet50_client.prediction import Prediction

T = TypeVar("T")
P = ParamSpec("P")


def _with_arguments_of(
    theirs: Callable[Concatenate[AsyncClient, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Client, P], None]]:
    """Give a method the arguments of another, for type checkers and for `help`."""

    def give(ours: Callable[..., None]) -> Callable[Concatenate[Client, P], None]:
        ours.__signature__ = inspect.signature(theirs)  # type: ignore[attr-defined]
        return ours

    return give


class Client:
    """A client that blocks. It runs an AsyncClient on a thread of its own, so it works in notebooks too."""

    @_with_arguments_of(AsyncClient.__init__)
    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Connect at once. The arguments are those of `AsyncClient`.

        Raises:
            DatasetError: an argument out of its range, or arguments that do not go together.
            ServerUnavailable: no server answers.
            ModelMismatch: no such model, or other tensors than expected.
        """
        self._client = AsyncClient(*arguments, **options)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="resnet50-client", daemon=True)
        self._thread.start()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def classify(self, images: Image | Iterable[Image]) -> list[Prediction]:
        """Classify images; the answers are in the order of `images`.

        Args:
            images: one or several: paths, encoded bytes, pictures of Pillow, arrays (RGB), Items of `find_images`; see
                `AsyncClient.stream`.

        Returns:
            One Prediction for each; `error` is set where one image failed.

        Raises:
            ServerUnavailable: the server went away and stayed away.
        """
        return self._run(self._client.classify(images))

    def stream(self, images: Image | Iterable[Image]) -> Iterator[Prediction]:
        """Classify any number of images in bounded memory; the answers are in the order of `images`.

        Args:
            images: as `classify`; taken as there is room, on the client's thread.

        Raises:
            ServerUnavailable: the server went away and stayed away.
        """
        predictions = self._client.stream(images)
        try:
            while (prediction := self._run(_next(predictions))) is not None:
                yield prediction
        finally:
            self._run(predictions.aclose())

    def inspect(self, image: Image) -> Inspection:
        """Classify one image in the two steps of `classify`; see `AsyncClient.inspect`."""
        return self._run(self._client.inspect(image))

    def describe(self) -> ServerInfo:
        """Ask who answers: server version, model and cards."""
        return self._run(self._client.describe())

    def close(self) -> None:
        """Close the connection and end the thread; a second call does nothing."""
        if self._loop.is_running():
            self._run(self._client.__aexit__(None, None, None))
            self._stop()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C lands here, in the caller's thread
            raise

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(predictions: AsyncGenerator[Prediction, None]) -> Prediction | None:
    return await anext(predictions, None)
