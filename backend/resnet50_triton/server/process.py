"""A tritonserver process: starts it with a repository, waits until it is ready, stops it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from ..errors import BadParameter, ServerNotFound
from ..runtime.directory import SERVER_ENVIRONMENT as RUNTIME
from ..triton.inflight import ENVIRONMENT as METRICS
from .addresses import Ports, is_listening
from .installation import Installation, find_server
from .limits import check_limits
from .options import check_options
from .scratch import Scratch, cannot_write, safe_path

__all__ = ["SHOWN", "Ports", "Server"]

STOP_TIMEOUT_S = 30.0
SHOWN = Path("-")  # as a log: the server writes to our own output
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# How often clients may ask whether the server is there (gRPC's keepalive); its own 5 minutes are too long to notice.
KEEPALIVE = "--grpc-http2-min-recv-ping-interval-without-data=10000"
SHARED_MEMORY = "--allow-client-shm"  # from 26.04 on it is off where not asked for
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # a proxy has nothing to do with loopback
_ERROR = re.compile(r"^E|Error|error:|terminate called|what\(\):")
_NO_GPU = re.compile("CudaDriverHelper|NVML|DCGM|CUDA driver version")  # said of every machine without one
_NO_RESOURCE = re.compile("Resource temporarily unavailable|bad_alloc|Cannot allocate memory")
_LOAD_FAILURE = re.compile(r"failed to load '.*?: (?:Internal: )?(.*?)(?:\\n\\nAt:|\"$)", re.MULTILINE)


class Server:
    """A running tritonserver; a context manager that ends it in every case.

    Args:
        repository: a model repository that is ready to serve: a folder, or a URL that tritonserver reads.
        ports: where to listen.
        log: where the server's output goes; `SHOWN` is our own output, None a temporary file.
        options: more options of tritonserver.
        scratch: where it keeps its files; its own, removed at its end, where None.

    Raises:
        ServerNotFound: there is no server that this Python's models can run in, or it cannot be started.
        BadParameter: ports that are in use, or options that this class does not work with.
        SetupError: a limit of this machine does not allow it.
    """

    def __init__(
        self,
        repository: Path | str,
        ports: Ports | None = None,
        log: Path | None = None,
        options: Sequence[str] = (),
        scratch: Scratch | None = None,
    ) -> None:
        self.ports = (ports or Ports.free()).resolved()
        check_options(options)
        check_limits()
        self.ports.check_free()
        self._ends_on_error = "--exit-on-error=false" not in options
        self._dead: set[int] = set()  # processes of models that were dead at the last look
        self._was_ready = False
        installation = find_server()
        with contextlib.ExitStack() as stack:
            self.scratch = scratch or stack.enter_context(Scratch())
            self._folder = self.scratch.folder / "server"
            self.log = log or self._folder / "tritonserver.log"
            self.process = self._start(installation, repository, options)
            self._stack = stack.pop_all()

    def _start(
        self, installation: Installation, repository: Path | str, options: Sequence[str]
    ) -> subprocess.Popen[bytes]:
        path = repository
        if "://" not in str(repository):
            if not Path(repository).is_dir():
                raise BadParameter(f"the model repository {repository} is not a folder; 'make-repository' writes one")
            path = safe_path(Path(repository).absolute(), self.scratch)
        command = [
            str(installation.binary),
            f"--model-repository={path}",
            *self.ports.options(),
            f"--backend-config=python,shm-region-prefix-name={self.scratch.shm_prefix}",
            KEEPALIVE,
        ]
        try:
            temporary = self._folder / "tmp"  # what is left there goes with the rest
            temporary.mkdir(parents=True)
            backends = installation.make_backend_directory(self._folder / "backends")
            if backends:
                command.append(f"--backend-directory={backends}")
            if self.ports.are_loopback and installation.knows(SHARED_MEMORY):
                command.append(f"{SHARED_MEMORY}=true")
            with contextlib.nullcontext() if self.log == SHOWN else self.log.open("wb") as output:
                return subprocess.Popen(
                    [*command, *options],
                    env={
                        **installation.environment(backends),
                        METRICS: self.metrics_url,
                        RUNTIME: str(self._folder / "cards"),
                        "TMPDIR": str(temporary),
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=self.scratch.locks,
                    # Ctrl-C reaches us alone, and we end the server; if we are killed, the kernel ends it.
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise cannot_write(self.scratch.folder, error) from error
            what = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            raise ServerNotFound(f"tritonserver cannot be started: {what}") from error

    @property
    def http_url(self) -> str:
        return self.ports.http_url

    @property
    def grpc_url(self) -> str:
        return self.ports.grpc_url

    @property
    def metrics_url(self) -> str:
        return self.ports.metrics_url

    def is_ready(self) -> bool:
        """Whether this server says that all its models are ready. Raises ServerNotFound where it may not say."""
        if not self._was_ready and not is_listening(self.process.pid, self.ports.http):
            return False  # another process answers there
        try:
            with _open(f"http://{self.http_url}/v2/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise ServerNotFound(
                    f"tritonserver does not tell whether it is ready (HTTP {error.code}); leave its health open"
                ) from error
            return False
        except OSError:
            return False

    def wait_ready(self, timeout_s: float = 120.0) -> None:
        """Wait until all models are ready. Raises ServerNotFound when one cannot load, the server ends, or is late."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self.process.poll() is not None:
                raise ServerNotFound(f"tritonserver ended with {ending(self.process.returncode)}:\n{self.log_errors()}")
            if self._ends_on_error and (why := self._load_failures()):
                raise ServerNotFound("a model cannot be loaded:\n" + "\n".join(why))
            if time.monotonic() > deadline:
                raise ServerNotFound(f"tritonserver was not ready in {timeout_s:g} s:\n{self.log_errors()}")
            time.sleep(0.1)
        self._was_ready = True

    def lost_stub(self) -> bool:
        """Whether a process of a model is dead, and was so at the last call; to be called every now and then.

        Triton (2.51) neither restarts it nor reports it: the server stays "ready", answers requests with INTERNAL,
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
        errors = [line for line in lines if _ERROR.search(line) and not _NO_GPU.search(line)][:10]
        if _NO_RESOURCE.search("\n".join(errors)):
            errors.append("a limit on memory or processes was met: ulimit -v, ulimit -u, or the container's")
        return "\n".join(errors or lines[-15:])

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
        self.scratch.remove_regions()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._stack.close()
        return self.process.returncode

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def ending(code: int) -> str:
    """How a process ended, in words."""
    return f"code {code}" if code >= 0 else f"signal {-code}"


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
