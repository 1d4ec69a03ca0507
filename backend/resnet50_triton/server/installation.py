"""Finds a tritonserver, and what it needs to run this project's Python models in this virtual environment."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from ..errors import ServerNotFound
from .stub import PYTHON, STUB, make_python_backend, python_of


@dataclass(frozen=True)
class Installation:
    """A tritonserver binary, and what has to be arranged before it can run our models."""

    binary: Path
    bundle: Path | None  # the folder `pytriton/tritonserver` of the wheel; None for a system's server

    def environment(self, backends: Path | None = None) -> dict[str, str]:
        """The server's environment: the stubs find this virtual environment through PATH.

        Args:
            backends: what `make_backend_directory` returned.
        """
        env = dict(os.environ)
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
        # Tensors of megabytes come and go with every batch: let malloc keep their pages instead of asking the kernel
        # for fresh ones, which took 0.04 of the server's 0.13 ms an image.
        env.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))
        env.setdefault("MALLOC_TRIM_THRESHOLD_", str(256 << 20))
        # What large calls leave in the threads' arenas is not given back: 1.9 GB after a storm of them, 1.5 with two.
        env.setdefault("MALLOC_ARENA_MAX", "2")
        # On Vertex AI: it would close HTTP and gRPC and listen on all addresses, whatever its options say.
        env.pop("AIP_MODE", None)
        if self.bundle:
            libraries = [shared_libpython().parent, self.bundle.parent.parent / "nvidia_pytriton.libs"]
            if backends:
                libraries.insert(0, backends / "python")
            extra = [env["LD_LIBRARY_PATH"]] if env.get("LD_LIBRARY_PATH") else []
            env["LD_LIBRARY_PATH"] = os.pathsep.join([*map(str, libraries), *extra])
        return env

    def make_backend_directory(self, directory: Path) -> Path | None:
        """Lay out a Python backend with the stub of this Python; None where the server brings its own."""
        if not self.bundle:
            return None
        make_python_backend(self.bundle, shared_libpython(), directory)
        return directory

    def knows(self, option: str) -> bool:
        """Whether the server has an option, by its --help; the bundled one is 2.51 and has none of the later ones."""
        if self.bundle:
            return False
        asked = subprocess.run(
            [self.binary, "--help"], env=self.environment(), capture_output=True, text=True, timeout=60, check=False
        )
        return f"{option} " in asked.stdout + asked.stderr  # the exit code of --help is 1 in some versions

    def check_python(self) -> None:
        """Hold the server's stub to this Python, in which its models' packages are. Raises ServerNotFound."""
        stub = self.binary.resolve().parents[1] / "backends" / "python" / STUB
        if self.bundle or not stub.is_file():
            return  # the bundle has one for each Python; where there is none, only the server knows
        wanted = python_of(stub)
        if wanted not in ("", PYTHON):
            raise ServerNotFound(
                f"{self.binary} runs models in Python {wanted} ({stub}), and this project is set up with {PYTHON}; set "
                f"it up in that one (in a checkout: make clean setup PYTHON=python{wanted}), or name another server: "
                "TRITONSERVER=..."
            )


def find_server() -> Installation:
    """Choose the tritonserver: $TRITONSERVER, then one on PATH, then the one that nvidia-pytriton bundles.

    Raises:
        ServerNotFound: nothing usable, with the fix.
    """
    named = os.environ.get("TRITONSERVER")
    if named:
        if not os.access(named, os.X_OK):
            raise ServerNotFound(f"TRITONSERVER={named} is not a program; name the tritonserver binary or unset it")
        return _checked(Installation(Path(named), None))
    on_path = shutil.which("tritonserver")
    if on_path:
        return _checked(Installation(Path(on_path), None))
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise ServerNotFound(
            "no tritonserver: none in $TRITONSERVER, none on PATH, and nvidia-pytriton is not installed; "
            "'make setup' or pip install 'resnet50-pynq-triton[server]' brings one"
        )
    bundle = Path(spec.origin).parent / "tritonserver"
    shared_libpython()
    return Installation(bundle / "bin" / "tritonserver", bundle)


def _checked(installation: Installation) -> Installation:
    installation.check_python()
    return installation


def shared_libpython() -> Path:
    """The shared library of this Python, which the Python backend's stub is linked to.

    Raises:
        ServerNotFound: Python is built without one, or Debian's package of it is missing.
    """
    name = f"libpython{PYTHON}.so.1.0"
    folder = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    for candidate in (folder / name, folder / multiarch / name):
        if candidate.is_file():
            return candidate
    raise ServerNotFound(
        f"{name} was not found in {folder}: Triton's Python backend needs Python as a shared library; "
        f"on Debian or Ubuntu 'apt-get install libpython{PYTHON}', with pyenv build Python with --enable-shared"
    )
