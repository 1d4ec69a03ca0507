"""One name that stands for several servers, as that of a headless Service does."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from resnet50_client.endpoint import Access, Endpoint
from resnet50_client.transport import Connection
from tritonclient.grpc import service_pb2

EXTENSION = "x" * 5_000_000  # more than the 4 MiB that gRPC takes by itself


@contextlib.contextmanager
def answering(name: str) -> Iterator[int]:
    """A server that knows its own name, and long answers; its port."""

    def metadata(_request: object, _context: object) -> object:
        return service_pb2.ServerMetadataResponse(name=name, extensions=[EXTENSION])

    method = grpc.unary_unary_rpc_method_handler(
        metadata,
        service_pb2.ServerMetadataRequest.FromString,
        service_pb2.ServerMetadataResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ServerMetadata": method})
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def test_all_servers_of_a_name_are_called() -> None:
    async def ask(url: str) -> Counter[str]:
        connection = Connection(Endpoint.parse(url), Access(), connections=1, timeout_s=30)
        try:
            return Counter([(await connection.server_metadata())["name"] for _ in range(12)])
        finally:
            await connection.close()

    with answering("a") as first, answering("b") as second:
        # What gRPC makes of a name with two addresses, without a name server.
        called = asyncio.run(ask(f"ipv4:127.0.0.1:{first},127.0.0.1:{second}"))
    assert min(called["a"], called["b"]) >= 3  # the first calls may come before the second connection
