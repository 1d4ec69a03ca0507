"""The README's "A Triton of your own", its commands run as they stand: a repository written, a bare tritonserver on it.

The tritonserver is the one that this project finds; what an own Triton's installation brings (its folder of backends,
its libraries) is given to it by a script of that name, and free ports, since others may listen on its usual ones.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc
from client.fast import make_fast_repository
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.installation import find_server
from resnet50_triton.server.process import Ports, Server

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "README.md").read_text().partition("### A Triton of your own")[2].partition("\nAway from")[0]
MAKE, RUN = (block.splitlines() for block in re.findall(r"```console\n(.*?)```", SECTION, re.S))
RUN = [line.replace("python3.10", "python3") for line in RUN]  # the one that the tritonserver here needs


@pytest.fixture
def place(sample: Path, tmp_path: Path) -> Path:
    """A folder with what the commands name."""
    for source, name in (("card.xclbin",) * 2, ("fcweights.csv",) * 2, ("labels.txt", "names.txt")):
        shutil.copyfile(sample / source, tmp_path / name)
    return tmp_path


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Ports]:
    """A folder with the program `tritonserver`, and the ports that it listens on."""
    found, ports = find_server(), Ports.free()
    backends = found.make_backend_directory(tmp_path / "backends")
    options = [f"--backend-directory={backends}"] if backends else []
    options += [f"--{name}-port={getattr(ports, name)}" for name in ("http", "grpc", "metrics")]
    libraries = found.environment(backends).get("LD_LIBRARY_PATH", "")
    program = tmp_path / "own" / "tritonserver"
    program.parent.mkdir()
    # As one from 26.04 on says that it knows an option, which it takes here for its name's sake.
    later = 'case " $* " in *" --help "*) echo "  --allow-client-shm <boolean>"; exit 1;; esac\n'
    later += f'echo "$*" > {shlex.quote(str(tmp_path / "own.argv"))}\n'
    later += 'for word; do shift; case $word in --allow-client-shm=*) ;; *) set -- "$@" "$word";; esac; done\n'
    program.write_text(
        f"#!/bin/sh\n{later}export LD_LIBRARY_PATH={shlex.quote(libraries)}\n"
        f'exec {shlex.quote(str(found.binary))} {shlex.join(options)} "$@"\n'
    )
    program.chmod(0o755)
    return program.parent, ports


@contextmanager
def running(commands: list[str], place: Path, own: tuple[Path, Ports]) -> Iterator[None]:
    """The last command's server, ready; the others are done before. Its models keep their state in the folder."""
    folder, ports = own
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "RESNET50_RUNTIME": str(place / "cards")}
    environment["RESNET50_METRICS"] = f"127.0.0.1:{ports.metrics}"
    for command in commands[:-1]:
        subprocess.run(["bash", "-ec", command], cwd=place, env=environment, check=True, timeout=600)
    assignment, program = commands[-1].split(" ", 1) if "=" in commands[-1].split()[0] else ("", commands[-1])
    with (place / "log").open("wb") as log:
        argv = ["bash", "-ec", f"{assignment} exec {program}"]
        process = subprocess.Popen(argv, cwd=place, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        limit_s = time.monotonic() + 120
        while not is_ready(ports):
            assert process.poll() is None, (place / "log").read_text()
            assert time.monotonic() < limit_s, (place / "log").read_text()
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(60)


def is_ready(ports: Ports) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.http}/v2/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def check_answers(ports: Ports, sample: Path) -> None:
    """The sample's pictures get their classes, by name."""
    names = (sample / "labels.txt").read_text().splitlines()
    truth = dict(line.split() for line in (sample / "images" / "labels.txt").read_text().splitlines()[:20])
    data = np.array([[(sample / "images" / name).read_bytes()] for name in truth], dtype=object)
    image = tritonclient.grpc.InferInput("IMAGE", list(data.shape), "BYTES")
    image.set_data_from_numpy(data)
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{ports.grpc}") as client:
        best = [tritonclient.grpc.InferRequestedOutput("LOGITS", class_count=1)]
        answers = client.infer("classify", [image], outputs=best).as_numpy("LOGITS").ravel()
    right = [
        names[int(label)] == answer.decode().split(":")[2]
        for label, answer in zip(truth.values(), answers, strict=True)
    ]
    assert sum(right) >= 0.9 * len(truth)


def test_the_repository_serves_under_a_bare_tritonserver(place: Path, own: tuple[Path, Ports], sample: Path) -> None:
    """With this environment, which has the package, in the place of `triton-python`."""
    (place / "triton-python").symlink_to(Path(sys.prefix))
    with running([*MAKE, RUN[-1]], place, own):
        for name in ("card.xclbin", "fcweights.csv", "names.txt"):
            (place / name).unlink()  # all is in the repository
        check_answers(own[1], sample)


@pytest.mark.long
def test_all_of_it_with_the_wheel(place: Path, own: tuple[Path, Ports], sample: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", "build/wheels", str(ROOT / "backend")]
    subprocess.run(build, cwd=place, check=True)
    with running([*MAKE, *RUN], place, own):
        check_answers(own[1], sample)


def test_the_projects_own_server_loads_it_too(place: Path, sample: Path) -> None:
    make = [str(Path(sys.executable).parent / "resnet50-pynq"), *shlex.split(MAKE[0])[1:]]
    subprocess.run(make, cwd=place, check=True)
    client = [str(Path(sys.executable).parent / "resnet50-client"), "classify", "--url", "{grpc}"]
    picture = str(min((sample / "images").glob("*.JPEG")))
    serve = [make[0], "serve", "--model-repository", "models", "--free-ports", "--", *client, picture]
    done = subprocess.run(serve, cwd=place, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (sample / "labels.txt").read_text().splitlines()[0] in done.stdout


@pytest.mark.parametrize(("host", "is_given"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_shared_memory_is_asked_for_where_it_has_to_be(
    place: Path, own: tuple[Path, Ports], monkeypatch: pytest.MonkeyPatch, host: str, is_given: bool
) -> None:
    """From a Triton that has it closed by default; and only where none but this machine's users can reach it."""
    monkeypatch.setenv("TRITONSERVER", str(own[0] / "tritonserver"))
    repository = make_fast_repository(place / "fast")
    ports = Ports(host, own[1].http, own[1].grpc, own[1].metrics)  # those that the script sets as well
    with Server(repository, ports) as server:
        server.wait_ready()
        server.kill()
    assert ("--allow-client-shm=true" in (place / "own.argv").read_text()) == is_given


def test_provenance_where_it_is_asked_for(place: Path, sample: Path) -> None:
    """`serve --provenance`: one more output of the ensemble, as of the kernel model."""
    code = (
        "import sys, tritonclient.http as t\n"
        "for model in ('classify', 'resnet50'):\n"
        "    found = t.InferenceServerClient(sys.argv[1]).get_model_metadata(model)['outputs']\n"
        "    print(*(output['name'] for output in found))"
    )
    program = str(Path(sys.executable).parent / "resnet50-pynq")
    argv = [program, "serve", f"--sample={sample}", "--card=timing:0", "--provenance", "--free-ports", "--"]
    argv += [sys.executable, "-c", code, "{http}"]
    done = subprocess.run(argv, cwd=place, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.splitlines()[-2:] == ["LOGITS PROVENANCE"] * 2


def test_a_killed_tritonserver_leaves_no_process(sample: Path, tmp_path: Path) -> None:
    """Its models' processes waited for ever for a server that takes their metrics, and kept the card."""
    with Server(Deployment.of_sample(sample, "timing:0").make_repository(tmp_path / "models")) as server:
        server.wait_ready()
        processes = psutil.Process(server.process.pid).children(recursive=True)
        server.process.kill()
        server.process.wait()
        left = psutil.wait_procs(processes, timeout=60)[1]
        for process in left:
            process.kill()
    assert len(processes) > 1
    assert not left
