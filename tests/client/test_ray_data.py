"""examples/ray_data.py on a local cluster with two workers, of which one is killed in the midst of its block."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from fast import fast_class, make_fast_repository, make_images
from PIL import Image
from servers import running
from tritonclient.grpc import InferenceServerClient

pytestmark = [pytest.mark.server, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE, PYTHON = ROOT / "examples" / "ray_data.py", ROOT / "build" / "ray" / "bin" / "python"
READ = "import json, sys, pyarrow.parquet as parquet; print(json.dumps(parquet.read_table(sys.argv[1]).to_pylist()))"
COUNT, BLOCK = 2000, 100
PATIENCE_S = 300


def answered(url: str) -> int:
    """How many images the server has answered."""
    with InferenceServerClient(url) as client:
        (model,) = client.get_inference_statistics("classify").model_stats
        return int(model.inference_count)


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of the actors, by the titles that Ray gives them."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            title = " ".join(child.cmdline())
        except psutil.Error:  # gone meanwhile
            continue
        if title.startswith("ray::") and "Classifier" in title:
            found.append(child)
    return found


def test_a_killed_workers_block_is_done_again_and_none_twice(tmp_path: Path) -> None:
    if not PYTHON.with_name("ray").exists():
        pytest.skip("Ray is not installed: make build/ray/.packages")
    make_images(tmp_path / "val", COUNT)
    Image.new("RGB", (4, 4)).save(tmp_path / "val" / "decoded here.TIFF")
    images = {str(path): path.read_bytes() for path in (tmp_path / "val").iterdir()}
    with running(make_fast_repository(tmp_path / "models", delay_s=0.5)) as server:
        words = [tmp_path / "val", tmp_path / "answers", "--url", server.grpc_url, "--workers", 2, "--block", BLOCK]
        process = subprocess.Popen([PYTHON, EXAMPLE, *map(str, words)])
        try:
            deadline_s = time.monotonic() + PATIENCE_S
            while len(workers := workers_of(process)) < 2 or answered(server.grpc_url) < 1:
                assert process.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            workers[0].kill()
            assert process.wait(PATIENCE_S) == 0
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
        asked = answered(server.grpc_url)
    answers = json.loads(subprocess.check_output([PYTHON, "-c", READ, tmp_path / "answers"]))
    assert sorted(answer["file"] for answer in answers) == sorted(images)  # each once
    for answer in answers:
        data = images[answer["file"]]
        if answer["file"].endswith("TIFF"):
            assert answer["error"] is None
            continue
        bad = data.startswith(b"bad")
        assert (answer["class"], answer["error"]) == ((None, "this image is bad") if bad else (fast_class(data), None))
    assert asked > sum(
        answer["error"] is None for answer in answers
    )  # what the killed worker had asked for comes again
