"""A server whose machine is gone: its connections stay open, and nothing comes from them any more."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from resnet50_client import AsyncClient, transport
from resnet50_client.images import Item
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server
IMAGES = 400
TIMEOUT_S = 600.0  # of a request: nothing may wait for it


@contextlib.contextmanager
def relay(port: int, gone: threading.Event) -> Iterator[int]:
    """A port that leads to another until `gone`, and then takes what comes and says nothing; its number."""
    ended = threading.Event()

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not gone.is_set():
                    target.sendall(data)
            if not gone.is_set():
                target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while not ended.is_set():
                near, _ = listener.accept()
                far = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                stack.enter_context(near)
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    with contextlib.ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts


def test_its_requests_go_to_another(fast_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "KEEPALIVE_S", 1.0)
    monkeypatch.setattr(transport, "KEEPALIVE_TIMEOUT_S", 3.0)
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 3.0)
    gone = threading.Event()

    async def classify(urls: list[str]) -> list[str | None]:
        items = [Item(str(number), lambda number=number: b"%d" % number) for number in range(IMAGES)]  # type: ignore[misc]
        errors: list[str | None] = []
        async with AsyncClient(urls, concurrency=8, names=[], timeout_s=TIMEOUT_S) as client:
            async for prediction in client.stream(items):
                errors.append(prediction.error)
                if len(errors) == IMAGES // 4:
                    gone.set()
        return errors

    with relay(fast_server.ports.grpc, gone) as port:
        begin_s = time.monotonic()
        errors = asyncio.run(classify([f"127.0.0.1:{port}", fast_server.grpc_url]))
    assert errors == [None] * IMAGES
    assert time.monotonic() - begin_s < TIMEOUT_S / 2
