"""The command `resnet50-pynq`, in processes of its own: golden vectors through `run`, and errors with exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def command(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "resnet50_triton.cli", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("kernel", ["logits", "top5"])
def test_run_gives_the_golden_vectors(shared_data: Path, tmp_path: Path, kernel: str) -> None:
    golden = np.load(shared_data / "golden.npz")
    np.save(tmp_path / "in.npy", golden["images"])
    image, out = tmp_path / "card.xclbin", tmp_path / "out.npz"
    network = shared_data / "resnet50_w1a2_v1.npz"
    built = command("build-xclbin", "--network", network, "--kernel", kernel, "-o", image)
    assert built.returncode == 0, built.stderr
    weights = shared_data / "fcweights.csv"
    ran = command("run", "--xclbin", image, "--fcweights", weights, "--pixels", tmp_path / "in.npy", "-o", out)
    assert ran.returncode == 0, ran.stderr
    result = np.load(out)
    assert set(result.files) == ({"logits", "top5"} if kernel == "logits" else {"top5"})
    assert result["top5"].dtype == np.uint32
    assert np.array_equal(result["top5"], golden["top5"])
    if kernel == "logits":
        assert result["logits"].dtype == np.int32
        assert np.array_equal(result["logits"], golden["logits"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["build-xclbin", "--network", "/nowhere.npz", "-o", "x.xclbin"], 1, "/nowhere.npz: No such file"),
        (["import-network", "/nowhere", "-o", "net.npz"], 1, "/nowhere"),
        (["serve"], 2, "--sample DIRECTORY, or both --xclbin and --fcweights"),
        (["serve", "--xclbin", "/nowhere.xclbin", "--fcweights", "/nowhere.csv"], 1, "/nowhere.xclbin"),
        (["serve", "--model-repository", "models", "--sample", "build/sample"], 2, "give no others"),
        (["serve", "--model-repository", "models", "--card", "xrt:0"], 2, "has its files, card and parameters"),
        (["serve", "--sample", "build/sample", "--set", "threads=4"], 2, "not MODEL.NAME=VALUE"),
        (["bild-xclbin"], 2, "invalid choice"),
    ],
)
def test_errors_are_one_line_with_an_exit_code(words: list[str], code: int, message: str) -> None:
    result = command(*words)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_pixels_of_another_shape_are_named(sample: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.zeros((1, 3, 224, 224), np.uint8))
    files = ["--xclbin", sample / "card.xclbin", "--fcweights", sample / "fcweights.csv"]
    result = command("run", *files, "--pixels", tmp_path / "in.npy", "-o", tmp_path / "out.npz")
    assert result.returncode == 1
    assert "uint8 (1, 3, 224, 224), expected uint8 (N, 224, 224, 3)" in result.stderr
    assert not (tmp_path / "out.npz").exists()
