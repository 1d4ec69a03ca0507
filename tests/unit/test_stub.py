"""The stub of Triton's Python backend, laid out for the present Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from resnet50_triton.errors import ServerNotFound
from resnet50_triton.server.stub import PYTHON, make_python_backend


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """As in the wheel nvidia-pytriton, with stubs of 3.9 and of the present Python."""
    bundle = tmp_path / "site-packages" / "pytriton" / "tritonserver"
    for version in ("3.9", PYTHON):
        stub = bundle / "python_backend_stubs" / version / "triton_python_backend_stub"
        stub.parent.mkdir(parents=True)
        stub.write_text(version)
        stub.chmod(0o755)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        path = bundle / "backends" / "python" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    libraries = tmp_path / "site-packages" / "nvidia_pytriton.libs"
    libraries.mkdir()
    (libraries / f"libpython3-419a3a08.{sys.version_info.minor}.so.1.0").touch()
    (libraries / "libpython3-00000000.9.so.1.0").touch()
    return bundle


def test_the_stub_is_a_copy_and_its_libpython_the_present_one(bundle: Path, tmp_path: Path) -> None:
    libpython = tmp_path / "libpython.so"
    libpython.touch()
    folder = make_python_backend(bundle, libpython, tmp_path / "backends")
    stub = folder / "triton_python_backend_stub"
    assert stub.read_text() == PYTHON
    stub.chmod(0o100)  # as Triton does
    original = bundle / "python_backend_stubs" / PYTHON / stub.name
    assert original.stat().st_mode & 0o777 == 0o755
    (alias,) = folder.glob("libpython3-*")
    assert alias.name == f"libpython3-419a3a08.{sys.version_info.minor}.so.1.0"
    assert alias.resolve() == libpython


def test_no_stub_for_this_python(bundle: Path, tmp_path: Path) -> None:
    (bundle / "python_backend_stubs" / PYTHON / "triton_python_backend_stub").unlink()
    with pytest.raises(ServerNotFound, match=rf"no stub for Python {PYTHON} in .*; it has 3\.9: set up again"):
        make_python_backend(bundle, tmp_path / "libpython.so", tmp_path / "backends")
