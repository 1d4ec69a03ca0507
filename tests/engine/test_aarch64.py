"""The NEON kernels, built for aarch64 and run under an emulator: exact, whatever CPU this machine has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BACKEND = Path(__file__).resolve().parents[2] / "backend"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"

MISSING = [tool for tool in ("cmake", COMPILER, EMULATOR) if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING} (scripts/setup-aarch64)")


def test_neon_kernels_equal_the_generic_ones(tmp_path: Path) -> None:
    options = [
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_CXX_COMPILER={COMPILER}",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",  # the emulator then needs no libraries of the other system
        "-DRESNET50_CHECK=none",
    ]
    subprocess.run(["cmake", "-S", str(BACKEND), "-B", str(tmp_path), *options], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(tmp_path), "--parallel", "2"], check=True, capture_output=True)
    run = subprocess.run([EMULATOR, tmp_path / "engine_check", "1"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr[:4000]
    assert run.stdout.splitlines() == ["neon: equal", "generic: equal"]
