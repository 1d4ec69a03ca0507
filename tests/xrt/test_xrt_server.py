"""JPEGs in, classes out: the real tritonserver with the sample on xrt:0, under the genuine XRT."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import random_pixels
from resnet50_triton.network.parameters import Network
from resnet50_triton.network.reference import ReferenceEngine
from resnet50_triton.weights import load_fc_weights
from resnet50_triton.xclbin.kernel_info import read_xclbin
from xrt_bench import OpenBench

pytestmark = pytest.mark.server

PROGRAM = Path(__file__).resolve().parent / "triton_program.py"
JPEGS = 16


def test_serve_and_classify(open_bench: OpenBench, sample: Path, tmp_path: Path) -> None:
    lines = [line.split() for line in (sample / "images" / "labels.txt").read_text().splitlines()[:JPEGS]]
    network = Network.from_bytes(read_xclbin(sample / "card.xclbin").network_bytes())
    bench = open_bench(network, "logits")
    serve = ("serve", "--card", "xrt:0", "--xclbin", bench.image, "--fcweights", sample / "fcweights.csv")
    options = ("--free-ports", "--log", tmp_path / "server.log")
    program = (bench.python, PROGRAM, "{grpc}", tmp_path / "out.npz", *(sample / "images" / name for name, _ in lines))
    outcome = bench.run("-m", "resnet50_triton.cli", *serve, *options, "--", *program, timeout_s=200)
    assert outcome.code == 0, outcome
    assert not bench.take_errors()

    log = (tmp_path / "server.log").read_text()
    assert re.search(rf"runs on xrt:0 \(xilinx_u250_xdma_201830_2\).* {bench.image}", log), log
    answers = np.load(tmp_path / "out.npz")
    best = answers["classified"].argmax(axis=1)
    right = sum(int(label) == found for (_, label), found in zip(lines, best, strict=True))
    assert right >= 0.9 * len(lines)
    weights = load_fc_weights(sample / "fcweights.csv")
    assert np.array_equal(answers["logits"], ReferenceEngine(network).logits(random_pixels(3, 3), weights))
