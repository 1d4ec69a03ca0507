"""One replica of the fleet: a `resnet50-pynq serve` that can be killed in several ways, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
from balancer import Address

READY_S = 120.0


class ReplicaError(Exception):
    """A replica did not come up, or has not the process that is looked for."""


class Replica:
    """A supervised server on fixed ports, with a software card of its own.

    Args:
        address: its name, and where it listens.
        metrics_port: for its metrics.
        folder: for its log and temporary files.
        fcweights: the FC weights.
    """

    def __init__(self, address: Address, metrics_port: int, folder: Path, fcweights: Path) -> None:
        self.address = address
        self._metrics_port = metrics_port
        self._folder = folder / address.name
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

    def start(self, xclbin: Path) -> None:
        """Start it on an xclbin; does not wait."""
        ports = [
            f"--{name}-port={number}"
            for name, number in (
                ("grpc", self.address.grpc_port),
                ("http", self.address.http_port),
                ("metrics", self._metrics_port),
            )
        ]
        command = [sys.executable, "-m", "resnet50_triton.cli", "serve"]
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
            with urllib.request.urlopen(url, timeout=2) as answer:
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
        while any(f"--grpc-port={self.address.grpc_port}" in p.info["cmdline"] for p in _processes()):
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
