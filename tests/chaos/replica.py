"""One replica of the fleet: a `resnet50-pynq serve` that can be killed in several ways, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import psutil
from balancer import Address
from resnet50_triton.server.process import Ports

READY_S = 120.0
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class ReplicaError(Exception):
    """A replica did not come up, or has not the process that is looked for."""


class Replica:
    """A supervised server on fixed ports, with a software card of its own.

    Args:
        name: its name.
        ports: where it listens.
        folder: for its log and temporary files.
        fcweights: the FC weights.
        host: what a command begins with that is to run on its host.
    """

    def __init__(self, name: str, ports: Ports, folder: Path, fcweights: Path, host: Sequence[str] = ()) -> None:
        self.address = Address(name, ports.host, ports.grpc, ports.http)
        self._host = host
        self._metrics_port = ports.metrics
        self._folder = folder / name
        self._folder.mkdir()
        self._fcweights = fcweights
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.address.name

    @property
    def url(self) -> str:
        """Its gRPC address."""
        return f"{self.address.host}:{self.address.grpc_port}"

    def start(self, xclbin: Path, python: Path = Path(sys.executable)) -> None:
        """Start it on an xclbin, with what is installed for a Python; does not wait."""
        ports = [
            f"--{name}-port={number}"
            for name, number in (
                ("grpc", self.address.grpc_port),
                ("http", self.address.http_port),
                ("metrics", self._metrics_port),
            )
        ]
        command: list[str | Path] = [*self._host, python, "-m", "resnet50_triton.cli", "serve"]
        files: list[str | Path] = ["--xclbin", xclbin, "--fcweights", self._fcweights]
        logs: list[str | Path] = ["--log", self._folder / "triton.log"]
        with (self._folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *files, *ports, *logs, "--host", self.address.host, "--provenance"],
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self._folder)},  # where a killed one leaves its files is ours to empty
                start_new_session=True,  # Ctrl-C is for us
            )

    @property
    def is_running(self) -> bool:
        """Whether `serve` runs; whether it answers is another question."""
        return self._process is not None and self._process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether Triton says that its models are ready."""
        url = f"http://{self.address.host}:{self.address.http_port}/v2/health/ready"
        try:
            with _open(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self) -> None:
        """Wait until it answers. Raises ReplicaError, with the end of its log."""
        deadline = time.monotonic() + READY_S
        while not self.is_ready:
            if not self.is_running or time.monotonic() > deadline:
                said = (self._folder / "serve.log").read_text(errors="replace").splitlines()[-10:]
                raise ReplicaError(f"{self.name} did not become ready:\n" + "\n".join(said))
            time.sleep(0.2)

    def kill(self, victim: str) -> int:
        """kill -9 one of its processes; the pid that it had.

        Args:
            victim: "tritonserver", a model, for its Python process, or "serve", who supervises all of these.

        Raises:
            ReplicaError: it has no such process.
        """
        pid = self._pid(victim)
        os.kill(pid, signal.SIGKILL)
        return pid

    def is_of(self, python: Path) -> bool:
        """Whether the engine that the model's process has loaded is the one that is installed for a Python."""
        maps = psutil.Process(self._pid("resnet50")).memory_maps()
        return any(path.path.startswith(f"{python.parents[1]}/") and "_native" in path.path for path in maps)

    def _pid(self, victim: str) -> int:
        if self._process is None:
            raise ReplicaError(f"{self.name} was not started")
        if victim == "serve":
            return self._process.pid
        for child in psutil.Process(self._process.pid).children(recursive=True):
            line = child.cmdline()
            # Triton gives a model's process the name of its instance for an argument.
            if f"{victim}_0_0" in line or (line and Path(line[0]).name == victim):
                return int(child.pid)
        raise ReplicaError(f"{self.name} has no process '{victim}'")

    def wait_gone(self) -> None:
        """Wait until `serve` has ended and its ports are free: what a killed one leaves ends a little later."""
        if self._process is not None:
            self._process.wait()
        deadline = time.monotonic() + READY_S
        listens = {f"--grpc-address={self.address.host}", f"--grpc-port={self.address.grpc_port}"}
        while any(listens <= set(p.info["cmdline"]) for p in _processes()):
            if time.monotonic() > deadline:
                raise ReplicaError(f"the killed {self.name} leaves a tritonserver that does not end")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it, after the requests that it has."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        self.wait_gone()


def _processes() -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"]]
