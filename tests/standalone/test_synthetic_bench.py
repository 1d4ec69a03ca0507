"""`resnet50-pynq bench` as a process: the original's lines, and figures that agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.standalone.bench import measure
from resnet50_triton.weights import load_fc_weights
from standalone_support import command, deployment, foreign_image

LINES = re.compile(
    r"Card: (?P<card>software:\d) \(software card, .*\n"
    r"Throughput: (?P<fps>\d+) FPS\n"
    r"Latency: (?P<latency_ms>[\d.]+) ms\n"
    r"FPGA Power: (?P<fpga_w>[\d.]+) Watts\n"
    r"Board Power: (?P<board_w>[\d.]+) Watts\n"
    r"Power is a model of a U250, not measured: this card has no FPGA\n"
)


@pytest.mark.parametrize("batch", [1, 7])
def test_the_figures(sample: Path, batch: int) -> None:
    result = command("bench", *deployment(sample), "--bs", batch, "--reps", 5)
    assert result.returncode == 0, result.stderr
    match = LINES.fullmatch(result.stdout)
    assert match, result.stdout
    latency_s, fps = float(match["latency_ms"]) / 1000, int(match["fps"])
    assert fps == pytest.approx(batch / latency_s, rel=0.01, abs=1)
    # The model's power: from idle to that of a card that is never idle, as published.
    assert 5 < float(match["fpga_w"]) < 60
    assert 15 < float(match["board_w"]) < 75


def test_the_files_have_the_originals_names_by_default(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "resnet50.xclbin").symlink_to(sample / "card.xclbin")
    (tmp_path / "fcweights.csv").symlink_to(sample / "fcweights.csv")
    result = command("bench", "--reps", 1, "--card", "software:1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    match = LINES.fullmatch(result.stdout)
    assert match
    assert match["card"] == "software:1"


def test_the_original_defaults_are_in_the_help() -> None:
    text = " ".join(command("bench", "--help").stdout.split())
    for default in ("resnet50.xclbin", "fcweights.csv", "xilinx_u250_xdma_201830_2", "default: 1)", "default: 100)"):
        assert default in text


def test_an_image_for_an_alveo_never_runs_on_a_software_card(sample: Path, tmp_path: Path) -> None:
    image = foreign_image(sample, tmp_path / "foreign.xclbin")
    weights = sample / "fcweights.csv"
    result = command("bench", "--xclbin", image, "--fcweights", weights, "--shell", "xilinx_u200_xdma_201830_2")
    assert result.returncode == 1
    assert "card 'xrt:0': XRT is not set up" in result.stderr
    result = command("bench", "--xclbin", image, "--fcweights", weights, "--card", "software:0")
    assert result.returncode == 1
    assert "a software card needs one made by" in result.stderr


@pytest.mark.parametrize("words", [("--bs", "0"), ("--reps", "-1"), ("--bs", "many")])
def test_wrong_numbers_are_wrong_usage(words: tuple[str, str]) -> None:
    result = command("bench", *words)
    assert result.returncode == 2
    assert words[0] in result.stderr


def test_a_recording_covers_the_run(sample: Path) -> None:
    weights = load_fc_weights(sample / "fcweights.csv")
    with Kernel(sample / "card.xclbin", weights, "software:0", max_batch=8) as kernel:
        result = measure(kernel, 8, 10)
    assert list(result.power.columns) == ["board_power", "fpga_power"]
    recorded_s = (result.power.index[-1] - result.power.index[0]).total_seconds()
    assert recorded_s == pytest.approx(result.elapsed_s, abs=0.3)
    assert result.power["board_power"].iloc[-1] > result.power["board_power"].iloc[0]  # the load is seen
