"""The native engine under AddressSanitizer and UndefinedBehaviorSanitizer, and, in the long tests, ThreadSanitizer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from resnet50_triton.network import engine

BACKEND = Path(__file__).resolve().parents[2] / "backend"
NATIVE = [name for name in engine.engines() if name != "reference"]

MISSING = [tool for tool in ("cmake", "c++") if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")


@pytest.mark.parametrize(
    ("sanitizers", "images"), [("address,undefined", 3), pytest.param("thread", 1, marks=pytest.mark.long)]
)
def test_every_kernel_runs_clean(sanitizers: str, images: int, tmp_path: Path) -> None:
    configure = ["cmake", "-S", str(BACKEND), "-B", str(tmp_path), f"-DRESNET50_CHECK={sanitizers}"]
    subprocess.run(configure, check=True, capture_output=True)
    build = ["cmake", "--build", str(tmp_path), "--parallel", "2"]
    subprocess.run(build, check=True, capture_output=True)
    run = subprocess.run([tmp_path / "engine_check", str(images)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr[:4000]
    assert run.stdout.splitlines() == [f"{name}: equal" for name in NATIVE]
