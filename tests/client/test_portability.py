"""The client where POSIX is not: as far as it can be shown on Linux."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from fast import make_images
from resnet50_triton.server.process import Server

ROOT = Path(__file__).resolve().parents[2]
# What Windows' Python has not (the documentation's "Availability: Unix"), of what a client could think of using.
MODULES = ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog", "crypt", "spwd", "nis", "readline")
NAMES = {
    "os": "fork forkpty wait3 wait4 waitid killpg getpgid setsid getuid geteuid getgid getgroups chown fchown lchown "
    "mkfifo mknod pread pwrite preadv pwritev posix_fallocate posix_fadvise posix_spawn openpty sendfile statvfs "
    "fstatvfs uname getloadavg nice sched_getaffinity sched_yield sysconf memfd_create",
    "signal": "SIGUSR1 SIGUSR2 SIGHUP SIGKILL SIGQUIT SIGPIPE SIGCHLD SIGALRM SIGSTOP SIGCONT alarm setitimer "
    "pthread_sigmask pthread_kill sigwait siginterrupt",
    "socket": "SO_REUSEPORT",
    "time": "clock_gettime clock_gettime_ns CLOCK_MONOTONIC",
}
# Libraries are loaded first: whether they run elsewhere is for their own tests. Then the client, all of it.
PROGRAM = f"""
import asyncio, importlib, pkgutil, sys
import aiohttp.web, argcomplete, numpy, PIL.Image, rich.console, rich.progress
import tritonclient.grpc.aio, tritonclient.http.aio
import os, signal, socket, time
for name in {MODULES!r}:
    sys.modules[name] = None
for module, names in {NAMES!r}.items():
    for name in names.split():
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)
if hasattr(os, "process_cpu_count"):  # from Python 3.13 on; without sched_getaffinity it is this
    os.process_cpu_count = os.cpu_count
import resnet50_client
for module in pkgutil.walk_packages(resnet50_client.__path__, "resnet50_client."):
    importlib.import_module(module.name)
from resnet50_client.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.server
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_commands_run_without_posix(fast_server: Server, tmp_path: Path, protocol: str) -> None:
    labels = make_images(tmp_path / "val", 40)
    with tarfile.open(tmp_path / "val.tar", "w") as tar:
        tar.add(tmp_path / "val", "val")
    url = f"grpc://{fast_server.grpc_url}" if protocol == "grpc" else f"http://{fast_server.http_url}"
    accuracy = ["accuracy", str(tmp_path / "val.tar"), "--labels", str(labels), "--outfile", str(tmp_path / "r.csv")]
    for words in (
        [*accuracy, "--report", str(tmp_path / "r.html"), "--profile"],
        ["classify", str(tmp_path / "val" / "00000.jpg")],
        ["compare", str(tmp_path / "r.sqlite"), str(tmp_path / "copy.sqlite")],
    ):
        server = [] if words[0] == "compare" else ["--url", url]
        if not server:
            shutil.copy(tmp_path / "r.sqlite", tmp_path / "copy.sqlite")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words, *server], capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == (words[0] == "accuracy"), done.stderr  # the fast model refuses some images
    assert (tmp_path / "r.html").is_file()


@pytest.mark.parametrize("platform", ["win32", pytest.param("darwin", marks=pytest.mark.long)])
def test_the_types_of_the_platform_fit(platform: str) -> None:
    """Typeshed knows what each platform's standard library has."""
    command = ["mypy", "--platform", platform, "--cache-dir", f".mypy_cache/{platform}", "-p", "resnet50_client"]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_wheel_is_pure_python() -> None:
    """So says the build: nothing is compiled, and no file is for one platform."""
    files = [path for path in (ROOT / "client" / "resnet50_client").rglob("*") if path.is_file()]
    assert {path.suffix for path in files if "__pycache__" not in path.parts} <= {".py", ".html", ".typed"}
