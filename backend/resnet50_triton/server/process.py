"""One tritonserver process: started with a repository, waited for, ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..errors import ServerNotFound
from ..runtime.directory import SERVER_ENVIRONMENT as RUNTIME
from ..triton.inflight import ENVIRONMENT as METRICS
from .installation import find_server

STOP_TIMEOUT_S = 30.0
SHOWN = Path("-")  # as a log: the server writes to our own output
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOAD_FAILURE = re.compile(r"failed to load '.*?: (?:Internal: )?(.*?)(?:\\n\\nAt:|\"$)", re.MULTILINE)


@dataclass(frozen=True)
class Ports:
    """Where the server listens, all on one address but for HTTP where it has one of its own."""

    host: str
    http: int
    grpc: int
    metrics: int
    http_host: str | None = None

    @classmethod
    def free(cls, host: str = "127.0.0.1") -> Ports:
        """Three ports that nothing uses at this moment."""
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
            for s in sockets:
                s.bind((host, 0))
            http, grpc, metrics = (s.getsockname()[1] for s in sockets)
        return cls(host, http, grpc, metrics)


class Server:
    """A running tritonserver; a context manager that ends it, whatever happens.

    Args:
        repository: a model repository that is ready to serve: a folder, or a URL that tritonserver reads.
        ports: where to listen.
        log: where the server's output goes; `SHOWN` is our own output, None a temporary file.
        options: more options of tritonserver.

    Raises:
        ServerNotFound: there is no server, or it ended before it was ready; the message carries the end of its log.
    """

    def __init__(
        self,
        repository: Path | str,
        ports: Ports | None = None,
        log: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.ports = ports or Ports.free()
        self._scratch = Path(tempfile.mkdtemp(prefix="resnet50-server-"))
        self.log = log or self._scratch / "tritonserver.log"
        self._dead: set[int] = set()  # processes of models that were dead at the last look
        self._was_ready = False
        self._ends_on_error = "--exit-on-error=false" not in options
        # Ours alone, so that what a killed server leaves in /dev/shm can be told from its neighbours' and removed.
        self._shm_prefix = f"resnet50_{os.getpid()}_{self.ports.grpc}_"
        try:
            installation = find_server()
            command = [str(installation.binary), *self._options(repository)]
            backends = installation.make_backend_directory(self._scratch / "backends")
            if backends:
                command.append(f"--backend-directory={backends}")
            with contextlib.nullcontext() if self.log == SHOWN else self.log.open("wb") as output:
                self.process = subprocess.Popen(
                    [*command, *options],
                    env={
                        **installation.environment(backends),
                        METRICS: self.metrics_url,
                        RUNTIME: str(self._scratch / "cards"),
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C reaches us alone, and we end the server; if we are killed, the kernel ends it.
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise

    def _options(self, repository: Path | str) -> list[str]:
        p = self.ports
        return [
            f"--model-repository={repository}",
            f"--http-address={p.http_host or p.host}",
            f"--http-port={p.http}",
            f"--grpc-address={p.host}",
            f"--grpc-port={p.grpc}",
            f"--metrics-address={p.host}",
            f"--metrics-port={p.metrics}",
            f"--backend-config=python,shm-region-prefix-name={self._shm_prefix}",
        ]

    @property
    def http_url(self) -> str:
        return f"{self.ports.http_host or self.ports.host}:{self.ports.http}"

    @property
    def grpc_url(self) -> str:
        return f"{self.ports.host}:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        return f"{self.ports.host}:{self.ports.metrics}"

    def is_ready(self) -> bool:
        """Whether the server says that all its models are ready."""
        try:
            with urllib.request.urlopen(f"http://{self.http_url}/v2/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Wait until all models are ready. Raises ServerNotFound when one cannot load, the server ends, or is late."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self.process.poll() is not None:
                raise ServerNotFound(f"tritonserver ended with code {self.process.returncode}:\n{self.log_errors()}")
            if self._ends_on_error and (why := self._load_failures()):
                raise ServerNotFound("a model cannot be loaded:\n" + "\n".join(why))
            if time.monotonic() > deadline:
                raise ServerNotFound(f"tritonserver was not ready in {timeout_s:g} s:\n{self.log_errors()}")
            time.sleep(0.1)
        self._was_ready = True

    def lost_stub(self) -> bool:
        """Whether a process of a model is dead, and was so at the last call; to be called every now and then.

        Triton (2.51) neither starts it again nor tells: the server stays "ready", answers what comes with INTERNAL,
        and leaves what was in the process without an answer until the client gives up or the server ends. It does not
        collect the dead process either, as it does at once when a model is unloaded: so the two are told apart.
        """
        dead = _dead_children(self.process.pid)
        lost = bool(dead & self._dead)
        self._dead = dead
        return lost

    def kill(self) -> None:
        """End the server at once; the clients' connections break, which is an answer."""
        self.process.kill()
        self.process.wait()

    def log_errors(self) -> str:
        """What the log says went wrong: why models did not load, else its error lines, else its end."""
        if self.log == SHOWN:
            return "its output is above"
        if why := self._load_failures():
            return "\n".join(why)
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("E") or "Error" in line or "error:" in line]
        return "\n".join(errors[:10] or lines[-15:])

    def _load_failures(self) -> list[str]:
        """What models raised when they were loaded, as the log has it: each once, without the traceback."""
        if self.log == SHOWN:
            return []
        return list(dict.fromkeys(_LOAD_FAILURE.findall(self.log.read_text(errors="replace"))))

    def stop(self) -> int:
        """End the server, waiting for requests in flight, and all that it left; returns its exit code."""
        if self.process.poll() is None and not self._was_ready:
            self.kill()  # nothing is in flight; it would wait 30 s for models that did not load
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # A server that was killed leaves the models' processes alive: they are of its process group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for region in Path("/dev/shm").glob(f"{self._shm_prefix}*"):
            region.unlink(missing_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        return self.process.returncode

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _dead_children(pid: int) -> set[int]:
    """The children of a process that have ended, and that it has not collected."""
    children = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state == "Z":
                children.add(int(stat.parent.name))
    return children


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
