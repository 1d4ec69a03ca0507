"""What the headless Service relies on: a client that spreads its calls, and servers that renew connections."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server

pytestmark = [pytest.mark.server, pytest.mark.long]


def test_round_robin_over_two_servers_that_renew_connections(sample: Path, tmp_path: Path) -> None:
    """Two servers that end each connection after a second: both are called equally, and no call is lost."""
    repository = Deployment.of_sample(sample).make_repository(tmp_path / "models")
    options = ["--grpc-max-connection-age=1000", "--grpc-max-connection-age-grace=5000"]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(repository, options=options)) for _ in range(2)]
        for server in servers:
            server.wait_ready()
        # What the name of a headless Service resolves to; "dns:///NAME:8001" in a cluster.
        target = "ipv4:" + ",".join(server.grpc_url for server in servers)
        policy = [("grpc.lb_policy_name", "round_robin")]
        client = stack.enter_context(tritonclient.grpc.InferenceServerClient(target, channel_args=policy))
        image = tritonclient.grpc.InferInput("IMAGE", [1, 1], "BYTES")
        jpeg = next((sample / "images").glob("*.JPEG")).read_bytes()
        image.set_data_from_numpy(np.array([[jpeg]], dtype=object))
        calls, end_s = 0, time.monotonic() + 6
        while time.monotonic() < end_s:
            client.infer("classify", [image])  # raises where a call is lost
            calls += 1
            time.sleep(0.03)
        served = []
        for server in servers:
            with tritonclient.grpc.InferenceServerClient(server.grpc_url) as one:
                statistics = one.get_inference_statistics("classify").model_stats[0]
                served.append(statistics.inference_stats.success.count)
    assert sum(served) == calls
    assert min(served) > 0.4 * calls
    assert calls > 50
