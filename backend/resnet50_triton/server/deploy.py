"""One deployment served: its repository made, the server up, a program run against it or waited for, all ended."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ServerNotFound
from .decode_workers import size_decoding
from .process import Ports, Server
from .repository import default_repository, describe, make_repository

_WATCH_S = 0.25


@dataclass(frozen=True)
class Deployment:
    """What is served, and on which card."""

    xclbin: Path
    fcweights: Path
    labels: Path | None = None
    card: str = "software:0"
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of the models, beside the above
    preset: str | None = None  # one of presets.PRESETS

    @classmethod
    def of_sample(cls, directory: Path, card: str = "software:0") -> Deployment:
        """The sample that `build-sample` made."""
        return cls(directory / "card.xclbin", directory / "fcweights.csv", directory / "labels.txt", card)

    def make_repository(self, directory: Path, source: Path | None = None) -> Path:
        """A model repository that serves this deployment; `directory` must not exist."""
        repository = make_repository(
            directory,
            source or default_repository(),
            self.xclbin,
            self.fcweights,
            self.labels,
            {**self.parameters, "resnet50": {"card": self.card, **self.parameters.get("resnet50", {})}},
            self.preset,
        )
        size_decoding(repository, self.card)
        return repository


def serve_until_done(
    models: Deployment | str,
    source: Path | None,
    ports: Ports,
    log: Path | None,
    program: Sequence[str] = (),
    options: Sequence[str] = (),
) -> int:
    """Serve; with a program, run it meanwhile and return its exit code; without, serve until interrupted.

    A server that lost a model's process is started again: see `Server.lost_stub`.

    Args:
        models: a deployment, or a complete model repository: a folder, or a URL that tritonserver reads.
        source: the models of a deployment; the project's where not given.
        ports: where to listen.
        log: as in `Server`.
        program: what to run, with {grpc}, {http} and {metrics} for the addresses.
        options: more options of tritonserver.
    """
    with tempfile.TemporaryDirectory(prefix="resnet50-repository-") as scratch:
        repository = models if isinstance(models, str) else models.make_repository(Path(scratch) / "models", source)
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
