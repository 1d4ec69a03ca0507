"""A hundred loads and unloads of the kernel model in one server: nothing is left behind."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpc
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.weights import load_fc_weights

CYCLES = 100
SETTLED = 10  # by then the server's pools and allocators have their size
# Memory is what malloc keeps: a stub's share in it would be tens of MB a cycle if it leaked.
LIMITS = {"files": 2, "threads": 2, "server_mb": 30.0, "regions": 0, "shm_mb": 1.0, "lock_files": 0, "stubs": 0}

pytestmark = [pytest.mark.server, pytest.mark.long]


def _look(server: Server) -> dict[str, float]:
    process = psutil.Process(server.process.pid)
    regions = list(Path("/dev/shm").glob(f"{server.scratch.shm_prefix}*"))
    memory = process.memory_info()
    return {
        "files": process.num_fds(),
        "threads": process.num_threads(),
        "server_mb": (memory.rss - memory.shared) / 1e6,
        "regions": len(regions),
        "shm_mb": sum(region.stat().st_blocks * 512 for region in regions) / 1e6,
        "lock_files": sum(path.is_file() for path in (server.scratch.folder / "server" / "cards").rglob("*")),
        "stubs": sum("stub" in child.name() for child in process.children()),
    }


def test_a_hundred_reloads_leave_nothing(sample: Path, tmp_path: Path) -> None:
    xclbin, weights = sample / "card.xclbin", sample / "fcweights.csv"
    pixels = np.random.default_rng(5).integers(0, 256, (2, 224, 224, 3), np.uint8)
    with Kernel(xclbin, load_fc_weights(weights)) as kernel:
        expected = kernel.run(pixels).logits
    repository = Deployment(xclbin, weights).make_repository(tmp_path / "models")
    image = grpc.InferInput("PIXELS", list(pixels.shape), "UINT8")
    image.set_data_from_numpy(pixels)
    looks = []
    with (
        Server(repository, options=["--model-control-mode=explicit", "--load-model=resnet50"]) as server,
        grpc.InferenceServerClient(server.grpc_url) as client,
    ):
        server.wait_ready()
        for cycle in range(CYCLES):
            if cycle % 2:
                client.unload_model("resnet50")
            else:
                (repository / "resnet50" / "1" / "model.py").touch()  # or Triton sees nothing new to load
            client.load_model("resnet50")
            assert np.array_equal(client.infer("resnet50", [image]).as_numpy("LOGITS"), expected)
            limit_s = time.monotonic() + 30
            while (look := _look(server))["stubs"] + look["regions"] != 2 and time.monotonic() < limit_s:
                time.sleep(0.05)  # the old one answers what it took before it ends
            looks.append(look)
            print(cycle, look, flush=True)
    growth = {name: looks[-1][name] - looks[SETTLED][name] for name in LIMITS}
    assert all(growth[name] <= limit for name, limit in LIMITS.items()), growth
