"""Supervises a server: makes its repository, restarts it if it fails, runs a program beside it, ends all."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import ServerNotFound
from .deploy import Deployment
from .notify import notify
from .options import check_options, is_off
from .process import Ports, Server, ending
from .repository import describe
from .scratch import Scratch, cannot_write

_WATCH_S = 0.25
_LEAST_UP_S = 30.0  # a server that ends sooner, so often in a row, will not do better
_FAILURES = 3
_PROGRAM_ENDS_S = 3.0


def serve_until_done(
    models: Deployment | str,
    ports: Ports,
    log: Path | None,
    program: Sequence[str] = (),
    options: Sequence[str] = (),
) -> int:
    """Serve; with a program, run it meanwhile and return its exit code; without, serve until interrupted.

    A server that ended by itself, or lost a model's process (see `Server.lost_stub`), is started again.

    Args:
        models: a deployment, or a complete model repository: a folder, or a URL that tritonserver reads.
        ports: where to listen.
        log: as in `Server`.
        program: what to run, with {grpc}, {http} and {metrics} for the addresses.
        options: more options of tritonserver.
    """
    check_options(options)
    ports.check_free()
    is_ending = False  # no threading.Event: a signal within a signal's handler would wait for its lock for ever

    def end(*_: object) -> None:
        nonlocal is_ending
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # another would only disturb the end
        is_ending = True  # an exception alone can be lost, where it is raised in what swallows exceptions
        notify("STOPPING=1")
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    with Scratch() as scratch:
        repository = models if isinstance(models, str) else _made(models, scratch)
        if isinstance(models, Deployment):
            print(describe(Path(repository)))
        process: subprocess.Popen[bytes] | None = None
        short_lives = 0
        try:
            while True:
                start_s = time.monotonic()
                what = models if isinstance(models, str) else models.card
                print(f"starting tritonserver on {what} ...", flush=True)
                with Server(repository, ports, log, options, scratch) as server:
                    try:
                        server.wait_ready()
                        ready_s = time.monotonic()
                        print(f"ready in {ready_s - start_s:.1f} s", flush=True)
                        notify("READY=1", f"STATUS=ready on {what}, gRPC at {server.grpc_url}")
                        if not program:
                            lines = [*_addresses(server, options), *_first_calls(models, server, options)]
                            print(*lines, "Ctrl-C ends it", sep="\n", flush=True)
                        elif process is None:
                            process = subprocess.Popen([_filled_in(word, server) for word in program])
                        why = _watch(server, process, lambda: is_ending)
                    except KeyboardInterrupt:
                        print("\nending ...", flush=True)
                        if process is None:
                            return 0
                        raise
                    if process is not None and process.poll() is not None:
                        return process.returncode
                    short_lives = short_lives + 1 if time.monotonic() - ready_s < _LEAST_UP_S else 0
                    if short_lives == _FAILURES:
                        raise ServerNotFound(f"{why}, {_FAILURES} times in a row:\n{server.log_errors()}")
                    print(f"{why}: the server is started again", flush=True)
                    notify(f"STATUS={why}: the server is started again")
                    server.kill()
        finally:
            if process is not None:
                _end(process)


def _made(models: Deployment, scratch: Scratch) -> Path:
    try:
        return models.make_repository(scratch.folder / "models")
    except OSError as error:
        raise cannot_write(scratch.folder, error) from error


def _addresses(server: Server, options: Sequence[str]) -> list[str]:
    return [
        *([] if is_off(options, "allow-grpc") else [f"  gRPC     {server.grpc_url}"]),
        f"  HTTP     http://{server.http_url}/v2/models/classify",
        f"  metrics  http://{server.metrics_url}/metrics",
    ]


def _first_calls(models: Deployment | str, server: Server, options: Sequence[str]) -> list[str]:
    """What to try first, in a form that can be pasted; nothing where the client is not installed."""
    beside = Path(sys.executable).with_name("resnet50-client")
    found = shutil.which("resnet50-client") and "resnet50-client"
    program = found or (os.path.relpath(beside) if beside.is_file() else "")
    if not program:
        return []
    is_plain = not is_off(options, "allow-grpc") and not any(option.startswith("--grpc-use-ssl") for option in options)
    url = server.grpc_url if is_plain else f"http://{server.http_url}"
    images = models.xclbin.parent / "images" if isinstance(models, Deployment) else Path()
    image = shlex.quote(str(min(images.glob("*.JPEG"), default="photo.jpg")))
    return [f"  try      {program} classify {image} --url {url}", f"           {program} page --url {url}"]


def _filled_in(word: str, server: Server) -> str:
    for name, url in (("grpc", server.grpc_url), ("http", server.http_url), ("metrics", server.metrics_url)):
        word = word.replace(f"{{{name}}}", url)
    return word


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program, if it has not on the Ctrl-C that reached it too."""
    for end in (process.terminate, process.kill):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PROGRAM_ENDS_S)
            return
        end()
    process.wait()


def _watch(server: Server, process: subprocess.Popen[bytes] | None, is_ending: Callable[[], bool]) -> str:
    """Return when the program has ended, or the server has to be started again, and why.

    Raises:
        ServerNotFound: it ended as one does that was asked to.
    """
    while True:
        if is_ending():
            raise KeyboardInterrupt
        if process is not None and process.poll() is not None:
            return "the program has ended"
        if (code := server.process.poll()) is not None:
            if code == 0:
                raise ServerNotFound(f"tritonserver was ended by another process:\n{server.log_errors()}")
            return f"tritonserver ended by itself ({ending(code)})"
        # A stub that is killed from outside dies alone, one of a server that ends is followed by it.
        if server.lost_stub() and server.process.poll() is None:
            return "a model's process died"
        if process is None:
            time.sleep(_WATCH_S)
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_WATCH_S)
