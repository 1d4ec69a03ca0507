"""`resnet50-pynq serve` looks after the models' processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tritonclient.http
from fast import make_fast_repository
from resnet50_triton.server.process import Ports

pytestmark = pytest.mark.server


def test_a_killed_model_comes_back_and_an_unloaded_one_is_no_loss(tmp_path: Path) -> None:
    ports = Ports.free()
    options = [f"--{name}-port={getattr(ports, name)}" for name in ("grpc", "http", "metrics")]
    options += ["--option=--model-control-mode=explicit", "--option=--load-model=*"]
    options += [f"--model-repository={make_fast_repository(tmp_path / 'models')}", f"--log={tmp_path / 'log'}"]
    command = [sys.executable, "-m", "resnet50_triton.cli", "serve", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        (triton,) = psutil.Process(process.pid).children()
        with tritonclient.http.InferenceServerClient(f"127.0.0.1:{ports.http}") as client:
            client.unload_model("classify")
            time.sleep(1.0)
            client.load_model("classify")
            time.sleep(1.0)
            assert client.is_model_ready("classify")
        assert triton.is_running()

        (stub,) = triton.children()
        stub.kill()
        said = [process.stdout.readline() for _ in range(3)]
        assert said[0] == "a model's process died: the server is started again\n"
        assert said[2].startswith("ready")
        assert not triton.is_running()
        with tritonclient.http.InferenceServerClient(f"127.0.0.1:{ports.http}") as client:
            assert client.is_model_ready("classify")
    finally:
        process.terminate()
        process.communicate()
