"""Clients that are not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_image_client_of_triton(
    server: Server, jpegs: list[Path], stock_ranks: dict[str, list[int]], stock_logits: dict[str, Any], protocol: str
) -> None:
    """As NVIDIA's image_client.py does it: a batch, and the classification extension's strings."""
    module: Any = tritonclient.grpc if protocol == "grpc" else tritonclient.http
    url = server.grpc_url if protocol == "grpc" else server.http_url
    batch = np.array([[path.read_bytes()] for path in jpegs[:3]], dtype=object)
    tensor = module.InferInput("IMAGE", list(batch.shape), "BYTES")
    tensor.set_data_from_numpy(batch)
    wanted = [module.InferRequestedOutput("LOGITS", class_count=3)]
    with module.InferenceServerClient(url) as client:
        results = client.infer("classify", [tensor], outputs=wanted).as_numpy("LOGITS")
    for path, lines in zip(jpegs, results, strict=False):
        fields = [line.decode().split(":") for line in lines]
        ranks = stock_ranks[path.name][:3]
        assert [int(field[1]) for field in fields] == ranks
        assert [float(field[0]) for field in fields] == [stock_logits[path.name][i] for i in ranks]
