"""make bench with short measurements: its files are there, also after a Ctrl-C; of the figures nothing is asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.common import machine, perf_analyzer
from benchmarks.perf.__main__ import main
from benchmarks.perf.compare import compare

pytestmark = [
    pytest.mark.long,
    pytest.mark.server,
    pytest.mark.usefixtures("sample"),
    pytest.mark.skipif(not perf_analyzer.PROGRAM.is_file(), reason="no perf_analyzer (make perf-analyzer)"),
]
SHORT = ["--seconds", "1", "--rounds", "1"]
GRPC_AND_SHARED = "^timing.*over (gRPC|shared memory), 1 x 1$"


def test_every_case_has_its_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    assert main([*SHORT, "--rounds", "2", "--only", GRPC_AND_SHARED]) == 0  # one round has no spread to compare
    result = json.loads((tmp_path / "load.json").read_text())
    assert result["complete"]
    names = [(row["server"], row["input"], row["transport"]) for row in result["rows"]]
    assert ("timing", "PIXELS", "gRPC") in names
    assert ("timing", "JPEG", "shared memory") in names
    assert ("timing, preset throughput", "PIXELS", "shared memory") in names
    for row in result["rows"]:
        assert row["images_per_s"][0] > 0
        assert row["p50_ms"][0] > 1.97  # the card's own time
        assert row["stages_ms"]["kernel"] > 1.97
        assert ("decode" in row["stages_ms"]) == (row["input"] == "JPEG")
        assert sum(row["batches"].values()) > 0
    assert set(result["setups"]) == {row["server"] for row in result["rows"]}
    assert {change.verdict for change in compare(result, result)} == {"same"}
    assert [(way["server"], way["input"]) for way in result["ceilings"]] == [("timing", "PIXELS"), ("timing", "JPEG")]
    for way in result["ceilings"]:
        assert way["reached"] > 0
        assert way["bottleneck"] in [stage["name"] for stage in way["stages"]]
    assert "## The bottleneck" in (tmp_path / "load.md").read_text()
    assert not [name for name in ("LOGITS", "TOP5", "PROVENANCE") if Path("/dev/shm", name).exists()]


@pytest.fixture
def name() -> Iterator[str]:
    """Of files in build/bench that are gone afterwards."""
    name = f"test-{os.getpid()}"
    yield name
    for path in machine.RESULTS.glob(f"{name}.*"):
        path.unlink()


def test_an_interrupt_keeps_what_was_measured(name: str) -> None:
    argv = [sys.executable, "-m", "benchmarks.perf", *SHORT, "--only", "^timing: PIXELS", "--name", name]
    run = subprocess.Popen(argv, cwd=machine.ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    line = ""
    while "round 1" not in line:
        line = run.stdout.readline()
        assert line, "ended before it measured"
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "what was measured is kept" in output
    result = json.loads((machine.RESULTS / f"{name}.json").read_text())
    assert not result["complete"]
    assert len(result["rows"]) >= 1
    assert (machine.RESULTS / f"{name}.md").is_file()
