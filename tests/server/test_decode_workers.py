"""The rule that gives decoding and the card their cores, and that a number in the configuration stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from resnet50_triton.network.engine import usable_cpus
from resnet50_triton.server.decode_workers import decode_workers, size_decoding

CONFIG = Path(__file__).resolve().parents[2] / "model_repository" / "preprocess" / "config.pbtxt"


@pytest.mark.parametrize(
    ("card", "cores", "workers"),
    [("software:0", 1, 2), ("software:0", 8, 2), ("software:3", 16, 4), ("xrt:0", 1, 2), ("xrt:0", 16, 16)],
)
def test_a_software_card_keeps_most_of_the_cores(card: str, cores: int, workers: int) -> None:
    assert decode_workers(card, cores) == workers


@pytest.mark.parametrize(("stated", "kept"), [("0", False), ("7", True)])
def test_a_stated_number_stands(tmp_path: Path, stated: str, kept: bool) -> None:
    path = tmp_path / "preprocess" / "config.pbtxt"
    path.parent.mkdir()
    text, found = re.subn(r'(key: "decode_workers" value { string_value: )"0"', rf'\1"{stated}"', CONFIG.read_text())
    assert found == 1
    path.write_text(text)
    size_decoding(tmp_path, "xrt:0")
    workers = re.search(r'key: "decode_workers"\s+value {\s+string_value: "(\d+)"', path.read_text())
    assert workers
    assert workers[1] == ("7" if kept else str(max(2, usable_cpus())))


def test_a_repository_without_preprocess_is_left_alone(tmp_path: Path) -> None:
    size_decoding(tmp_path, "software:0")
    assert not list(tmp_path.iterdir())
