"""The backend of a commit, installed beside the present one: for an upgrade of the server's own software."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = Path(sysconfig.get_path("platlib"), "resnet50_triton", "network")  # what `make setup` has compiled


class VersionError(Exception):
    """A version cannot be had, or is not the one that runs."""


def install(revision: str, label: str, folder: Path) -> Path:
    """Build the backend of a commit as version "0.1.0+LABEL" and install it in an environment of its own.

    The C++ modules are compiled only where their sources are others than here.

    Args:
        revision: as git names it.
        label: letters and digits, the local part of the version.
        folder: for sources, wheel and environment; made here.

    Returns:
        The environment's Python. What the backend needs comes from the environment that runs this.

    Raises:
        VersionError: git knows no such commit, or it cannot be built.
    """
    source = folder / "source"
    archive = _run("git", "-C", ROOT, "archive", revision, "backend", "model_repository")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(source, filter="data")
    for name, pattern in (("pyproject.toml", r'^(version = "[^"+]+)'), ("resnet50_triton/__init__.py", r'(= "[^"+]+)')):
        path = source / "backend" / name
        path.write_text(re.sub(pattern, rf"\1+{label}", path.read_text(), count=1, flags=re.MULTILINE))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    compiled = [] if _differs(revision) else list(OURS.glob("*.so"))
    options = ("-C", "wheel.cmake=false") if compiled else ()
    _run(*pip, "wheel", "--no-deps", *options, "-w", folder, source / "backend")
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    _run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel)
    (site,) = environment.glob("lib/python*/site-packages")
    for module in compiled:
        shutil.copy(module, site / "resnet50_triton" / "network")
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (site / "needed.pth").write_text("\n".join(sorted(paths)))  # as paths: the .pth files there are not read
    return python


def _differs(revision: str) -> bool:
    """Whether what is compiled differs between a commit and this checkout, whose compiled modules then do not do."""
    paths = ("backend/CMakeLists.txt", "backend/*.cpp", "backend/*.h")
    command = ("git", "-C", ROOT, "diff", "--quiet", revision, "--", *paths)
    return subprocess.run(command, check=False).returncode != 0


def version_of(python: Path) -> str:
    """What `resnet50-pynq --version` says there."""
    return _run(python, "-m", "resnet50_triton.cli", "--version").decode().split()[-1]


def _run(*command: str | Path) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise VersionError(f"{' '.join(map(str, command))}:\n{done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout
