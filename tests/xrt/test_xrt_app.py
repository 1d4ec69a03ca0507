"""The application, the benchmark and the doctor on xrt:0 under the genuine XRT."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers import random_network, random_pixels, random_weights
from PIL import Image
from resnet50_triton.network.reference import ReferenceEngine, top_k
from xrt_bench import Bench, BenchOf, OpenBench, Outcome


def command(bench: Bench, *words: object) -> Outcome:
    outcome = bench.run("-m", "resnet50_triton.cli", *map(str, words), timeout_s=180)
    assert not bench.take_errors()
    return outcome


@pytest.fixture
def deployment(random_bench: BenchOf, tmp_path: Path) -> tuple[object, ...]:
    np.save(tmp_path / "weights.npy", random_weights(2))
    return ("--xclbin", random_bench("top5").image, "--fcweights", tmp_path / "weights.npy")


def test_infer(random_bench: BenchOf, deployment: tuple[object, ...], tmp_path: Path) -> None:
    pixels = random_pixels(4, 5)
    (tmp_path / "images").mkdir()
    for i, picture in enumerate(pixels):
        Image.fromarray(picture[:, :, ::-1]).save(tmp_path / "images" / f"{i}.png")
    expected = top_k(ReferenceEngine(random_network(1)).logits(pixels, random_weights(2)))
    out = tmp_path / "out.csv"
    options = ("--img_path", tmp_path / "images", "--max_bs", 2, "--outfile", out)
    outcome = command(random_bench("top5"), "infer", *deployment, *options)  # the xclbin is for an Alveo: no --card
    assert outcome.code == 0, outcome
    assert "Card: xrt:0 (xilinx_u250" in outcome.output
    found = re.findall(r"\[([\d ]+)\]", out.read_text())
    assert [[int(word) for word in line.split()] for line in found] == expected.tolist()


def test_bench(random_bench: BenchOf, deployment: tuple[object, ...]) -> None:
    options = ("--shell", "xilinx_u250_xdma_201830_2", "--bs", 3, "--reps", 2)
    outcome = command(random_bench("top5"), "bench", *deployment, *options)
    assert outcome.code == 0, outcome
    assert re.search(
        r"Card: xrt:0 \(xilinx_u250.*\nThroughput: \d+ FPS\nLatency: [\d.]+ ms\n"
        r"Power is not available: XRT reads nothing from this card's sensors\n",
        outcome.output,
    ), outcome


def test_doctor(random_bench: BenchOf, deployment: tuple[object, ...]) -> None:
    bench = random_bench("top5")
    outcome = command(bench, "doctor", *deployment, "--card", "xrt:0")
    assert outcome.code == 0, outcome
    assert re.search(
        r"^ok +xrt +XRT 2\.\d+\.\d+ in .*: xrt:0 \(xilinx_u250_xdma_201830_2\)$", outcome.output, re.MULTILINE
    )
    by = (
        "pyxrt, because XRT 2.16.0 in .* is newer than 2.15"
        if bench.native
        else "PYNQ's XrtDevice, because XRT 2.13.466"
    )
    assert re.search(rf"^ok +xrt +driven by {by}", outcome.output, re.MULTILINE), outcome
    assert re.search(rf"^ok +card +xrt:0 can be programmed with {bench.image}$", outcome.output, re.MULTILINE)


def test_the_doctor_on_another_shell(open_bench: OpenBench) -> None:
    bench = open_bench(random_network(1), "logits", platform="xilinx_u200_xdma_201830_2")
    outcome = command(bench, "doctor", "--xclbin", bench.image)
    assert outcome.code == 1, outcome
    assert "this xclbin is for platform xilinx_u250_xdma_201830_2, card 'xrt:0' has the shell" in outcome.output
    assert "fix: flash the shell that the xclbin needs" in outcome.output
