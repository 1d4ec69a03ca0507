"""Clients that are not ours: what the README says about them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from resnet50_pynq.server.process import Server

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


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl(server: Server, jpegs: list[Path], stock_ranks: dict[str, list[int]]) -> None:
    """The README's lines: a JPEG as it is, behind a few bytes of JSON and its length (binary tensor data extension)."""
    script = """
image=$1 url=$2
header='{"inputs":[{"name":"IMAGE","shape":[1,1],"datatype":"BYTES","parameters":{"binary_data_size":SIZE}}],
  "outputs":[{"name":"TOP5"}]}'
size=$(stat -c %s "$image")
header=${header/SIZE/$((size + 4))}
length=$(printf '\\\\x%02x' $((size & 255)) $((size >> 8 & 255)) $((size >> 16 & 255)) $((size >> 24)))
{ printf %s "$header"; printf "$length"; cat "$image"; } |
  curl -s "$url/v2/models/classify/infer" -H "Inference-Header-Content-Length: ${#header}" --data-binary @-
"""
    command = ["bash", "-c", script, "bash", str(jpegs[0]), f"http://{server.http_url}"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    (output,) = json.loads(done.stdout)["outputs"]
    assert output["name"] == "TOP5"
    assert output["data"] == stock_ranks[jpegs[0].name][:5]
