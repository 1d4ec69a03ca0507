"""Installing without a compiler gives a package that works, says that it is slow, and how to make it fast."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

BACKEND = Path(__file__).resolve().parents[2] / "backend"

ASK = """
from resnet50_triton.network import engine
print(engine.engines())
print(engine.advice())
engine.choose("avx2")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built where PATH has what pip brings (cmake, ninja), and no compiler."""
    pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed: no build without the network")
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed: the build would fetch it from the network")
    folder = tmp_path_factory.mktemp("no-compiler")
    tools = folder / "bin"
    tools.mkdir()
    for tool in ("cmake", "ninja", "make", "uname", "sh"):
        found = shutil.which(tool)
        if found:
            (tools / tool).symlink_to(found)
    environment = {key: value for key, value in os.environ.items() if key not in ("CC", "CXX", "CXXFLAGS")}
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-build-isolation",
        "--no-deps",
        "-w",
        str(folder),
        str(BACKEND),
    ]
    subprocess.run(command, check=True, env=environment | {"PATH": str(tools)}, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_is_pure_python(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "resnet50_triton/network/engine.py" in names
    assert not [name for name in names if name.endswith((".so", ".cpp", ".h"))]


def test_the_package_says_how_to_get_the_fast_engine(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    # -S leaves out the finder of an editable installation, which would put the source tree first.
    paths = os.pathsep.join([str(tmp_path), *(path for path in sys.path if path.endswith("-packages"))])
    asked = subprocess.run([sys.executable, "-S", "-c", ASK], env={"PYTHONPATH": paths}, capture_output=True, text=True)
    engines, advice = asked.stdout.splitlines()
    assert engines == "('reference',)"
    assert "install a C++17 compiler" in advice
    assert "BadParameter: engine 'avx2' is not available here (choose from reference)" in asked.stderr
