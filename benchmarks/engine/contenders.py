"""The INT8 engines that ours is compared with: a virtual environment with them, and their models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build"
VENV = BUILD / "bench-venv"
MODELS = BUILD / "bench-engine"


def prepare() -> None:
    """Make the virtual environment and the models, once."""
    of_this_python = VENV / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not (of_this_python.exists() and (VENV / "done").exists()):
        print(f"installing the contenders into {VENV} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        install = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", "-r", str(HERE / "requirements.txt")]
        subprocess.run(install, check=True)
        (VENV / "done").touch()
    if not (MODELS / "done-with-binary").exists():
        print(f"making the models in {MODELS} ...", flush=True)
        subprocess.run([str(VENV / "bin" / "python"), str(HERE / "models.py"), str(MODELS)], check=True)
