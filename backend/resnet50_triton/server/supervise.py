"""A server kept up: its repository made, a program run against it or waited for, started again, all ended."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import ServerNotFound
from .deploy import Deployment
from .process import Ports, Server
from .repository import describe

_WATCH_S = 0.25


def serve_until_done(
    models: Deployment | str,
    ports: Ports,
    log: Path | None,
    program: Sequence[str] = (),
    options: Sequence[str] = (),
) -> int:
    """Serve; with a program, run it meanwhile and return its exit code; without, serve until interrupted.

    A server that lost a model's process is started again: see `Server.lost_stub`.

    Args:
        models: a deployment, or a complete model repository: a folder, or a URL that tritonserver reads.
        ports: where to listen.
        log: as in `Server`.
        program: what to run, with {grpc}, {http} and {metrics} for the addresses.
        options: more options of tritonserver.
    """
    with tempfile.TemporaryDirectory(prefix="resnet50-repository-") as scratch:
        repository = models if isinstance(models, str) else models.make_repository(Path(scratch) / "models")
        if isinstance(models, Deployment):
            print(describe(Path(repository)))
        while True:
            start = time.monotonic()
            what = models if isinstance(models, str) else models.card
            print(f"starting tritonserver on {what} ...", flush=True)
            with Server(repository, ports, log, options) as server:
                server.wait_ready()
                print(f"ready in {time.monotonic() - start:.1f} s", flush=True)
                if program:
                    addresses = {"grpc": server.grpc_url, "http": server.http_url, "metrics": server.metrics_url}
                    return subprocess.call([word.format(**addresses) for word in program])
                print(
                    f"  gRPC     {server.grpc_url}\n"
                    f"  HTTP     http://{server.http_url}/v2/models/classify\n"
                    f"  metrics  http://{server.metrics_url}/metrics\n"
                    "Ctrl-C ends it",
                    flush=True,
                )
                try:
                    _watch(server)
                except KeyboardInterrupt:
                    print("\nending ...", flush=True)
                    return 0


def _watch(server: Server) -> None:
    """Return when the server has to be started again. Raises ServerNotFound where it ended by itself."""
    while (code := server.process.poll()) is None:
        time.sleep(_WATCH_S)
        # One killed from outside dies alone, one of a server that ends is followed by it.
        if server.lost_stub() and server.process.poll() is None:
            print("a model's process died: the server is started again", flush=True)
            server.kill()
            return
    raise ServerNotFound(f"tritonserver ended by itself with code {code}:\n{server.log_errors()}")
