"""`perf-data` and `doctor`."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from client_support import CORRUPT, Run
from resnet50_triton.decode import decode_image
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server

PERF_ANALYZER = Path(__file__).resolve().parents[2] / "build" / "perf_analyzer" / "perf_analyzer"


def test_perf_data_holds_images_and_answers(
    run: Run, server: Server, jpegs: list[Path], stock_logits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    done = run("perf-data", *jpegs, "-o", tmp_path / "perf", "--limit", "3", "--url", server.grpc_url)
    assert done.returncode == 0, done.stderr
    for model, tensor in (("classify", "IMAGE"), ("resnet50", "PIXELS")):
        content = json.loads((tmp_path / "perf" / f"{model}.json").read_text())
        inputs, answers = content["data"], content["validation_data"]
        assert len(inputs) == len(answers) == 3
        for path, given, answer in zip(jpegs, inputs, answers, strict=False):
            data = base64.b64decode(given[tensor]["content"]["b64"])
            if tensor == "IMAGE":
                assert data[4:] == path.read_bytes()
                assert int.from_bytes(data[:4], "little") == path.stat().st_size
            else:
                assert given[tensor]["shape"] == [224, 224, 3]
                assert data == decode_image(path.read_bytes()).tobytes()  # to the bit what the server makes of it
            logits = np.frombuffer(base64.b64decode(answer["LOGITS"]["content"]["b64"]), "<f4")
            assert answer["LOGITS"]["shape"] == [1000]
            assert np.array_equal(logits, stock_logits[path.name])


def test_perf_data_of_a_corrupt_image_is_refused(run: Run, server: Server, tmp_path: Path) -> None:
    (tmp_path / "corrupt.jpg").write_bytes(CORRUPT)
    done = run("perf-data", tmp_path / "corrupt.jpg", "-o", tmp_path / "perf", "--url", server.grpc_url)
    assert done.returncode == 2
    assert "corrupt.jpg' cannot be classified" in done.stderr


def works(program: Path) -> bool:
    return program.is_file() and subprocess.run([program, "--version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not works(PERF_ANALYZER), reason="no perf_analyzer (make perf-analyzer)")
@pytest.mark.parametrize("model", ["classify", "resnet50"])
def test_perf_analyzer_takes_them_and_notices_a_wrong_answer(
    run: Run, server: Server, jpegs: list[Path], tmp_path: Path, model: str
) -> None:
    run("perf-data", *jpegs, "-o", tmp_path, "--url", server.grpc_url)

    def analyze(path: Path) -> subprocess.CompletedProcess[str]:
        count = ["--measurement-mode", "count_windows", "--measurement-request-count", "20", "-s", "99"]
        command = [PERF_ANALYZER, "-m", model, "-i", "grpc", "-u", server.grpc_url, "--input-data", path, *count]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    right = analyze(tmp_path / f"{model}.json")
    said = right.stdout + right.stderr
    assert "Output doesn't match expected output" not in said
    assert "Inferences/Second vs. Client" in said or "Failed to obtain stable measurement" in said  # on a busy machine
    content = json.loads((tmp_path / f"{model}.json").read_text())
    content["validation_data"].reverse()
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    wrong = analyze(tmp_path / "wrong.json")
    assert "Output doesn't match expected output" in wrong.stdout + wrong.stderr


def test_doctor_finds_all_well(run: Run, url: str) -> None:
    done = run("doctor", "--url", url)
    assert done.returncode == 0, done.stdout
    for what in ("python: 3.", "tritonclient: ", "/dev/shm: ", "server: triton 2.", "card: software:0", "class names"):
        assert f"ok    {what}" in done.stdout
    assert "an image: answered in " in done.stdout


def test_doctor_names_the_fix(run: Run, fast_server: Server, tmp_path: Path) -> None:
    done = run("doctor", "--url", "127.0.0.1:1")
    assert done.returncode == 1
    assert "BAD   server: grpc://127.0.0.1:1 is unavailable" in done.stdout
    assert "fix: start the server" in done.stdout
    done = run("doctor", "--url", fast_server.grpc_url, "--model", "resnet51")
    assert done.returncode == 1
    assert "fix: name one of the ready models" in done.stdout
    # A module that cannot be imported stands for one that is not installed.
    (tmp_path / "cv2.py").write_text("raise ImportError('No module named cv2')")
    hidden = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = run("classify", "/dev/null", "--pixels", env=hidden)
    assert done.returncode == 2
    assert "pip install 'resnet50-client[pixels]'" in done.stderr
