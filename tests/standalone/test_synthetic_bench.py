"""`resnet50-pynq bench` as a process: the original's lines, and figures that agree with each other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from standalone_support import command, deployment, foreign_image

LINES = re.compile(
    r"Card: (?P<card>\w+:\d) \((software|timing) card, .*\n"
    r"Throughput: (?P<fps>\d+) FPS\n"
    r"Latency: (?P<latency_ms>[\d.]+) ms\n"
    r"(FPGA Power: (?P<fpga_w>[\d.]+) Watts\n)?"
    r"(Board Power: (?P<board_w>[\d.]+) Watts\n)?"
    r"(CPU Power: (?P<cpu_w>[\d.]+) Watts\n)?"
    r"Power is (?P<source>.*)\n"
)


@pytest.mark.parametrize("batch", [1, 7])
def test_the_figures(sample: Path, batch: int) -> None:
    result = command("bench", *deployment(sample), "--bs", batch, "--reps", 5)
    assert result.returncode == 0, result.stderr
    match = LINES.fullmatch(result.stdout)
    assert match, result.stdout
    latency_s, fps = float(match["latency_ms"]) / 1000, int(match["fps"])
    assert fps == pytest.approx(batch / latency_s, rel=0.01, abs=2)  # both are rounded
    # A software card has no rails, and nobody makes up figures for them.
    assert match["fpga_w"] is match["board_w"] is None
    assert ("not available" in match["source"]) == (match["cpu_w"] is None)


def test_the_originals_lines(sample: Path) -> None:
    result = command("bench", *deployment(sample), "--bs", 10, "--reps", 5, "--card", "timing:0")
    match = LINES.fullmatch(result.stdout)
    assert match, result.stdout + result.stderr
    assert (match["fpga_w"], match["board_w"]) == ("33.7", "50.4")
    assert match["source"] == "as published for a U250 at this batch size, not measured"


def test_a_sweep_is_the_originals_table_beside_the_published_one(sample: Path) -> None:
    options = ("--sweep", "1,7,100", "--reps", 3, "--card", "timing:0")
    table = command("bench", *deployment(sample), *options).stdout.splitlines()
    assert [line.split()[0] for line in table[3:-1]] == ["1", "7", "100"]
    assert table[3].split("|")[1].split() == ["527.0", "1.9", "16.6", "29.5"]
    assert table[4].split("|")[1].split() == ["-", "-", "-", "-"]
    told = json.loads(command("bench", *deployment(sample), *options, "--json").stdout)
    assert told["card"] == "timing:0"
    assert "not measured" in told["power"]
    rows = told["rows"]
    assert [(row["batch_size"], row["runs"]) for row in rows] == [(1, 3), (7, 3), (100, 3)]
    assert rows[2]["published"] == {"images_per_s": 2605, "latency_ms": 38.4, "fpga_w": 50.6, "board_w": 68.8}
    assert (rows[2]["fpga_w"], rows[2]["board_w"]) == (50.6, 68.8)
    assert rows[2]["latency_ms"] >= 38.4
    assert rows[1]["published"] is None


def test_a_limit_of_time_ends_after_a_run(sample: Path) -> None:
    options = ("--bs", 100, "--seconds", 0.1, "--card", "timing:0", "--json")
    (row,) = json.loads(command("bench", *deployment(sample), *options).stdout)["rows"]
    assert 1 <= row["runs"] <= 3


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


@pytest.mark.parametrize("words", [("--bs", "0"), ("--reps", "-1"), ("--bs", "many"), ("--sweep", "1,,2")])
def test_wrong_numbers_are_wrong_usage(words: tuple[str, str]) -> None:
    result = command("bench", *words)
    assert result.returncode == 2
    assert words[0] in result.stderr
