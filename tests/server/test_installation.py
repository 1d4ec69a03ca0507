"""Which tritonserver is taken, and what it is told of its surroundings."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from resnet50_triton.errors import ServerNotFound
from resnet50_triton.server.installation import Installation, find_server
from resnet50_triton.server.stub import PYTHON, python_of


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server of one's own, laid out as NVIDIA's, named by TRITONSERVER."""
    binary = tmp_path / "bin" / "tritonserver"
    binary.parent.mkdir()
    binary.write_text("#!/bin/sh\necho '  --allow-client-shm <boolean>'\necho '  --allow-http <boolean>'\nexit 1\n")
    binary.chmod(0o755)
    stub = tmp_path / "backends" / "python" / "triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    monkeypatch.setenv("TRITONSERVER", str(binary))
    return stub


def test_a_stub_of_another_python_is_refused_before_the_start(own: Path) -> None:
    own.write_bytes(b"\x7fELF...libpython3.6m.so\0libpython3.6.so.1.0\0")
    with pytest.raises(ServerNotFound, match=rf"runs models in Python 3\.6 .*this project is set up with {PYTHON}"):
        find_server()
    own.write_bytes(f"\x7fELF...libpython{PYTHON}.so.1.0\0".encode())
    assert find_server().binary == own.parents[2] / "bin" / "tritonserver"
    own.write_bytes(b"\x7fELF, linked to something else")
    find_server()  # it cannot be told
    own.unlink()
    find_server()


def test_the_bundled_stubs_tell_their_python() -> None:
    bundle = find_server().bundle
    if bundle is None:
        pytest.skip("another server than the bundled one is in use")
    for stub in (bundle / "python_backend_stubs").glob("*/*"):
        assert python_of(stub) in (stub.parent.name, "")  # "" where its library has another name


def test_options_are_known_by_help(own: Path) -> None:
    server = Installation(own.parents[2] / "bin" / "tritonserver", None)
    assert server.knows("--allow-client-shm")
    assert not server.knows("--allow-client")
    assert not server.knows("--allow-grpc")


def test_surroundings_that_change_where_it_listens_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIP_MODE", "PREDICTION")
    environment = find_server().environment()
    assert "AIP_MODE" not in environment
    assert environment["MALLOC_ARENA_MAX"] == "2"
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")
    assert find_server().environment()["MALLOC_ARENA_MAX"] == "8"


@pytest.mark.parametrize(("limit", "words"), [("-n 64", "64 open files"), ("-f 1000", "a file may have 1024000 bytes")])
def test_limits_that_are_too_low_are_told_with_the_command(limit: str, words: str) -> None:
    code = "from resnet50_triton.server.limits import check_limits; check_limits()"
    shell = f'ulimit {limit}; exec "$0" -c "$1"'
    done = subprocess.run(["bash", "-c", shell, sys.executable, code], capture_output=True, text=True, check=False)
    assert words in done.stderr
    assert "ulimit" in done.stderr


def test_a_low_soft_limit_on_open_files_is_raised() -> None:
    code = "from resnet50_triton.server.limits import check_limits; check_limits()\nimport resource\n"
    code += "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    shell = 'ulimit -S -n 64; exec "$0" -c "$1"'
    done = subprocess.run(["bash", "-c", shell, sys.executable, code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == min(65536, hard if hard != resource.RLIM_INFINITY else 65536)
    assert os.environ  # ours is as it was
