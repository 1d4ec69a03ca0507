"""The wheels, installed into a fresh environment away from the repository, serve and measure there."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"backend": "[server]", "client": ""}

pytestmark = [pytest.mark.server, pytest.mark.long]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment `venv` that has both packages, built and installed as a user would."""
    place = tmp_path_factory.mktemp("away")
    wheels = []
    for package, extra in PACKAGES.items():
        folder = place / package
        build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT / package)]
        subprocess.run(build, check=True)
        wheels += [f"{path}{extra}" for path in folder.glob("*.whl")]
    assert len(wheels) == len(PACKAGES)
    assert "-py3-none-any.whl" in wheels[-1]  # the client is pure Python
    assert "resnet50_client/page/page.html" in zipfile.ZipFile(wheels[-1]).namelist()
    subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True)
    subprocess.run([str(place / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", *wheels], check=True)
    return place


@pytest.fixture(scope="module")
def run(place: Path) -> Callable[..., str]:
    """Runs a command of the new environment in the folder, and gives what it printed."""

    def run(name: str, *words: str) -> str:
        argv = [str(place / "venv" / "bin" / name), *words]
        done = subprocess.run(argv, cwd=place, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{name} {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_nothing_comes_from_the_repository(run: Callable[..., str], place: Path) -> None:
    code = "import resnet50_triton, resnet50_client; print(resnet50_triton.__file__, resnet50_client.__file__)"
    assert all(path.startswith(str(place)) for path in run("python", "-c", code).split())


def test_the_fast_engine_is_in_it(run: Callable[..., str]) -> None:
    assert "generic" in run("python", "-c", "from resnet50_triton.network import engine; print(engine.engines())")


def test_a_server_and_an_accuracy_run(run: Callable[..., str], place: Path) -> None:
    run("resnet50-pynq", "build-sample", "-o", "sample")
    client = str(place / "venv" / "bin" / "resnet50-client")
    measure = [client, "accuracy", "sample/images", "--labels", "sample/images/labels.txt", "--url", "{grpc}", "--json"]
    output = run("resnet50-pynq", "serve", "--sample", "sample", "--free-ports", "--", *measure)
    summary = json.loads(output[output.index("\n{") :])
    assert summary["scored"] == summary["images"] > 90
    assert summary["top1"]["share"] > 0.9


PROGRAM = """\
import numpy as np
from resnet50_client import Client
from resnet50_triton import open_kernel, read_class_names
with open_kernel("card.xclbin", "fcweights.csv", batch_size=8) as kernel:
    best: int = int(kernel.run(np.zeros((1, 224, 224, 3), np.uint8)).top5[0][0])
    rate: float = kernel.measure(8, seconds=1).images_per_s
names: list[str] = read_class_names("labels.pkl")
Client("localhost").classify("photo.jpg")
open_kernel("card.xclbin")
kernel.run("photo.jpg")
"""


def test_types_reach_a_users_program(place: Path) -> None:
    """By py.typed in both wheels: right use is right, and the two mistakes at the end are found."""
    (place / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", place / "venv" / "bin" / "python"]
    done = subprocess.run([*command, "program.py"], cwd=place, capture_output=True, text=True, timeout=600)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line.split(":")[1] for line in errors] == ["9", "10"], done.stdout


def test_pynq_finds_the_notebook(run: Callable[..., str], place: Path) -> None:
    run("pynq", "get-notebooks", "--ignore-overlays", "--path", "delivered", "resnet50-triton")
    assert (place / "delivered" / "resnet50-triton" / "resnet50.ipynb").is_file()


def test_the_original_package_is_not_replaced(run: Callable[..., str], place: Path) -> None:
    """`resnet50-pynq` on the package index is Xilinx's: a stand-in of that name and ours live side by side."""
    source = place / "original"
    (source / "resnet50_pynq").mkdir(parents=True)
    (source / "resnet50_pynq" / "__init__.py").write_text("WHOSE = 'the original'\n")
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    project = '[project]\nname = "resnet50-pynq"\nversion = "1.1"\n[tool.setuptools]\npackages = ["resnet50_pynq"]\n'
    (source / "pyproject.toml").write_text(build + project)
    run("python", "-m", "pip", "install", "-q", "--upgrade", str(source))
    code = "import resnet50_pynq, resnet50_triton; print(resnet50_pynq.WHOSE, resnet50_triton.__version__)"
    assert run("python", "-c", code).startswith("the original ")
    installed = json.loads(run("python", "-m", "pip", "list", "--format", "json"))
    assert {"resnet50-pynq", "resnet50-pynq-triton"} <= {package["name"] for package in installed}
