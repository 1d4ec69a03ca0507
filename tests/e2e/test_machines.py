"""`resnet50-pynq serve` on machines that are not as they should be: served, or refused at once and in words.

With the fast model of tests/client, whose server is ready in two seconds, where the models do not matter.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc
from client.fast import make_fast_repository
from resnet50_triton.server.addresses import Ports
from resnet50_triton.server.installation import find_server

pytestmark = pytest.mark.server

SERVE = [sys.executable, "-m", "resnet50_triton.cli", "serve"]
ASK = "import sys, urllib.request as u; print(u.urlopen(f'http://{sys.argv[1]}/v2/models/classify/ready').status)"
SOON_S = 30.0  # on a busy machine; what was silent for 90 s and more is not soon


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fast_repository(tmp_path_factory.mktemp("fast") / "models")


def serve(models: Path | str, *options: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Serve until a program has asked the server whether its model is ready."""
    argv = [*SERVE, f"--model-repository={models}", "--free-ports", *options, "--", sys.executable, "-c", ASK, "{http}"]
    shell = f'{before} exec "$@"'
    return subprocess.run(
        ["bash", "-c", shell, "bash", *argv],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def served(done: subprocess.CompletedProcess[str]) -> bool:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1] == "200"


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ready in" not in done.stdout
    (line,) = done.stderr.splitlines()
    return line


class Another(http.server.BaseHTTPRequestHandler):
    """A server that says yes to all."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


@pytest.mark.parametrize("option", ["http", "grpc", "metrics"])
def test_another_server_is_not_taken_for_ours(models: Path, option: str) -> None:
    ports = Ports.free()
    with http.server.ThreadingHTTPServer(("127.0.0.1", getattr(ports, option)), Another) as another:
        threading.Thread(target=another.serve_forever, daemon=True).start()
        words = [f"--{name}-port={getattr(ports, name)}" for name in ("http", "grpc", "metrics")]
        begin_s = time.monotonic()
        argv = [*SERVE, f"--model-repository={models}", *words, "--", "echo", "has run"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=180, check=False)
        another.shutdown()
    assert f"port {getattr(ports, option)} of 127.0.0.1 (--{option}-port) is in use" in refused(done)
    assert "--free-ports" in done.stderr
    assert "has run" not in done.stdout
    assert time.monotonic() - begin_s < SOON_S


@pytest.mark.parametrize("host", ["localhost", "::1", "[::1]", "::"])
def test_hosts_by_name_and_of_ipv6(models: Path, host: str) -> None:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert served(serve(models, f"--host={host}"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host=no.such.host.invalid"], "--host 'no.such.host.invalid' cannot be resolved"),
        (["--host=192.0.2.1"], "192.0.2.1 is no address of this machine"),
        (["--option=--allow-http=false"], "--allow-http=false: that switches off what serve needs"),
        (["--log=/none/log"], "No such file or directory: /none/log"),
    ],
)
def test_refused_at_once(models: Path, options: list[str], words: str) -> None:
    begin_s = time.monotonic()
    assert words in refused(serve(models, *options))
    assert time.monotonic() - begin_s < SOON_S


def test_grpc_may_be_off(models: Path) -> None:
    assert served(serve(models, "--option=--allow-grpc=false"))


def test_a_repository_that_is_none_is_told(tmp_path: Path) -> None:
    assert f"{tmp_path}/none is not a folder" in refused(serve(tmp_path / "none"))


def test_surroundings_of_vertex_ai_and_a_proxy(models: Path) -> None:
    """Neither opens it to others, nor closes HTTP, nor asks a proxy on the way to 127.0.0.1."""
    assert served(
        serve(models, before="no_proxy=127.0.0.1", AIP_MODE="PREDICTION", AIP_HTTP_PORT="18080", AIP_HEALTH_ROUTE="/h")
    )
    ports = Ports.free()
    words = [f"--{name}-port={getattr(ports, name)}" for name in ("http", "grpc", "metrics")]
    with serving(models, *words, AIP_MODE="PREDICTION", http_proxy="http://127.0.0.1:9", no_proxy="") as process:
        (triton,) = psutil.Process(process.pid).children()
        listening = {c.laddr for c in triton.net_connections() if c.status == psutil.CONN_LISTEN}
        assert {address.port for address in listening} == {ports.http, ports.grpc, ports.metrics}
        assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


@contextlib.contextmanager
def serving(models: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`serve` that is up."""
    process = subprocess.Popen(
        [*SERVE, f"--model-repository={models}", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        wait_for(process, "Ctrl-C")
        yield process
    finally:
        process.terminate()
        process.communicate()


def wait_for(process: subprocess.Popen[str], words: str) -> list[str]:
    """The lines up to the one with these words."""
    lines = []
    assert process.stdout
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError("".join(lines))


def test_any_name_of_a_folder(models: Path, sample: Path, tmp_path: Path) -> None:
    """TMPDIR, the repository, and a deployment's files; and the stub of the virtual environment stays as it is."""
    bundle = find_server().bundle
    stubs = list((bundle / "python_backend_stubs").glob("*/*")) if bundle else []
    modes = [stub.stat().st_mode for stub in stubs]
    folder = tmp_path / "with spaces, gräßlich and a quote's $HOME;"
    folder.mkdir()
    shutil.copytree(models, folder / "models")
    assert served(serve(folder / "models", TMPDIR=str(folder)))
    for file in ("card.xclbin", "fcweights.csv", "labels.txt"):
        shutil.copyfile(sample / file, folder / file)
    files = [
        f"--{option}={folder / file}" for option, file in (("xclbin", "card.xclbin"), ("fcweights", "fcweights.csv"))
    ]
    argv = [*SERVE, *files, f"--labels={folder / 'labels.txt'}", "--card=timing:0", "--free-ports", "--", "true"]
    done = subprocess.run(
        argv, env={**os.environ, "TMPDIR": str(folder)}, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [stub.stat().st_mode for stub in stubs] == modes
    assert {path.name for path in folder.iterdir()} == {"models", "card.xclbin", "fcweights.csv", "labels.txt"}


def test_few_open_files_are_told_at_once(models: Path) -> None:
    begin_s = time.monotonic()
    assert "64 open files" in refused(serve(models, before="ulimit -n 64;"))
    assert time.monotonic() - begin_s < SOON_S


def test_too_little_memory_is_told(models: Path, tmp_path: Path) -> None:
    """What 2.51 writes under `ulimit -v 900000`, and how it ends; by a script, since others need less."""
    program = tmp_path / "bin" / "tritonserver"
    program.parent.mkdir()
    said = ["Error: Failed to initialize NVML", "terminate called after throwing an instance of 'std::system_error'"]
    said.append("  what():  Resource temporarily unavailable")
    program.write_text("#!/bin/sh\n" + "".join(f'echo "{line}"\n' for line in said) + "kill -ABRT $$\n")
    program.chmod(0o755)
    done = serve(models, TRITONSERVER=str(program))
    assert done.returncode == 1
    first, *lines = done.stderr.splitlines()
    assert first == "resnet50-pynq: tritonserver ended with signal 6:"
    assert lines[:-1] == said[1:]
    assert lines[-1].startswith("a limit on memory or processes was met")


MOUNT = "unshare -rm bash -c '{}; exec \"$@\"' bash"


def can_mount() -> bool:
    tried = subprocess.run(
        ["bash", "-c", MOUNT.format("mount -t tmpfs none /mnt"), "true"], capture_output=True, check=False
    )
    return tried.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="this user may not mount in a namespace (unshare -rm)")
@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ("mount -t tmpfs -o ro none /dev/shm", "cannot write to /dev/shm, through which .* Read-only file system"),
        (  # a Kubernetes volume without fsGroup: it belongs to root, and the server runs as somebody else
            'mount -t tmpfs -o mode=555 none /dev/shm; set -- setpriv --bounding-set=-all "$@"',
            "cannot write to /dev/shm, through which .* Permission denied; .* in Kubernetes an emptyDir .* fsGroup",
        ),
        ("mount -t tmpfs -o size=1m none /dev/shm", "/dev/shm, .* has 1 MiB free, at least 8 are needed"),
        (
            "mount -t tmpfs -o size=300k none /tmp; mount -t tmpfs -o ro none /var/tmp",
            r"cannot write to /tmp/resnet50-server-\w+.*: .*No space left on device.*TMPDIR",
        ),
        (  # as Docker's --tmpfs and hardened machines mount it: the models' processes could not be started
            "mount -t tmpfs -o noexec none /tmp; mount -t tmpfs -o ro none /var/tmp",
            r"/tmp \(mounted noexec; .* /tmp:exec\), /var/tmp \(this user may not write to it\); name another .*TMPDIR",
        ),
    ],
)
def test_places_that_cannot_be_used_are_told(models: Path, sample: Path, mount: str, words: str) -> None:
    argv = [*SERVE, f"--sample={sample}", "--card=timing:0", "--free-ports", "--", "true"]
    if "/tmp" not in mount:
        argv[4] = f"--model-repository={models}"
        del argv[5]
    shell = MOUNT.format(mount) + ' "$@"'
    environment = {**os.environ, "TMPDIR": "/tmp"}
    begin_s = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", shell, "bash", *argv], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert re.search(words, refused(done)), done.stderr
    assert time.monotonic() - begin_s < SOON_S


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, for TMPDIR."""
    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp") as folder:
        yield Path(folder)


def test_what_a_killed_tree_left_is_removed_by_the_next(models: Path, short: Path) -> None:
    environment = {"TMPDIR": str(short)}
    with serving(models, "--free-ports", **environment) as process:
        (folder,) = short.glob("resnet50-server-*")
        prefix = f"resnet50_{folder.name.rpartition('-')[2]}"
        shm = Path("/dev/shm")
        assert list(shm.glob(f"{prefix}_*"))
        assert served(serve(models, **environment))  # beside it
        assert folder.exists()
        assert list(shm.glob(f"{prefix}_*"))
        tree = [*psutil.Process(process.pid).children(recursive=True)]
        for each in (psutil.Process(process.pid), *tree):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
        psutil.wait_procs(tree, timeout=30)
        assert folder.exists()
        assert served(serve(models, **environment))
        assert list(short.glob("*resnet50-*")) == []
        assert list(shm.glob(f"*{prefix}*")) == []


def test_a_stub_that_was_stopped_ends_nothing(sample: Path) -> None:
    """Stopped under load, it makes tritonserver (2.51) end by SIGABRT: then that is started again."""
    ports = Ports.free()
    words = [f"--{name}-port={getattr(ports, name)}" for name in ("http", "grpc", "metrics")]
    argv = [*SERVE, f"--sample={sample}", "--card=timing:0", *words]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    ended = threading.Event()

    def ask() -> None:
        tensor = tritonclient.grpc.InferInput("PIXELS", [1, 224, 224, 3], "UINT8")
        tensor.set_data_from_numpy(np.zeros((1, 224, 224, 3), np.uint8))
        with tritonclient.grpc.InferenceServerClient(ports.grpc_url) as client:
            while not ended.is_set():
                with contextlib.suppress(Exception):
                    client.infer("resnet50", [tensor], client_timeout=2)

    clients = [threading.Thread(target=ask) for _ in range(8)]
    try:
        wait_for(process, "Ctrl-C")
        (triton,) = psutil.Process(process.pid).children()
        stub = next(child for child in triton.children() if "resnet50_0_0" in " ".join(child.cmdline()))
        for client in clients:
            client.start()
        time.sleep(1)
        stub.send_signal(signal.SIGSTOP)
        time.sleep(5)
        with contextlib.suppress(psutil.NoSuchProcess):
            stub.send_signal(signal.SIGCONT)
        limit_s = time.monotonic() + 60
        answered = 0
        while answered < 20 and time.monotonic() < limit_s:  # it serves, as before or again
            assert process.poll() is None
            time.sleep(0.25)
            with contextlib.suppress(Exception), tritonclient.grpc.InferenceServerClient(ports.grpc_url) as client:
                answered += client.is_model_ready("resnet50")
        assert answered == 20
    finally:
        ended.set()
        for client in clients:
            client.join()
        process.terminate()
        process.communicate()


def test_a_server_that_always_ends_is_given_up(models: Path, tmp_path: Path) -> None:
    with serving(models, "--free-ports", f"--log={tmp_path / 'log'}") as process:
        for _ in range(3):
            (triton,) = psutil.Process(process.pid).children()
            triton.kill()
            with contextlib.suppress(AssertionError):
                wait_for(process, "Ctrl-C")
        assert process.wait(30) == 1
