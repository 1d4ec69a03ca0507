"""The benchmarks of the whole server run and write their JSON; of the figures nothing is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.baselines import __main__ as baselines
from benchmarks.common import machine, perf_analyzer
from benchmarks.engine.contenders import VENV

pytestmark = [pytest.mark.long, pytest.mark.server, pytest.mark.usefixtures("sample")]
needs_perf_analyzer = pytest.mark.skipif(
    not perf_analyzer.PROGRAM.is_file(), reason="no perf_analyzer (make perf-analyzer)"
)


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the results go instead of build/bench."""
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    return tmp_path


def read(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text())
    assert result["made"]["command"].startswith("make ")
    assert result["made"]["machine"]["cores"] >= 1
    return result


def test_loadgen_finds_a_rate_and_the_right_classes(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mlperf_loadgen", reason="no mlcommons-loadgen (pip install --group dev)")
    from benchmarks.loadgen.__main__ import main

    options = ["--seconds", "0.5", "--cards", "software:0", "--accuracy", "--latency-ms", "2000"]
    assert main(options) == 0
    result = read(results / "loadgen.json")
    assert "Unofficial" in result["note"]
    assert "Unofficial" in capsys.readouterr().out
    assert [line["input"] for line in result["results"]] == ["pixels", "jpeg"]
    for line in result["results"]:
        assert line["SingleStream"]["images_per_s"] > 0
        assert 0 < line["Server"]["images_per_s"] <= line["Offline"]["images_per_s"]
        assert line["Server"]["tries"][-1]["is_met"]
        assert line["Accuracy"]["correct"] > 0.9 * line["Accuracy"]["pictures"] > 50


def test_loadgen_asks_no_accuracy_of_a_card_that_computes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mlperf_loadgen", reason="no mlcommons-loadgen (pip install --group dev)")
    from benchmarks.loadgen.__main__ import main

    with pytest.raises(SystemExit):
        main(["--accuracy"])
    assert "a timing card computes nothing" in capsys.readouterr().err


@needs_perf_analyzer
@pytest.mark.skipif(not (VENV / "done").exists(), reason="no onnxruntime and OpenVINO (make bench-baselines)")
def test_the_baselines_answer_the_same_load(results: Path) -> None:
    baselines.main(["--rounds", "1", "--seconds", "1"])
    result = read(results / "baselines.json")
    assert "Not the same network" in result["note"]
    assert len(result["points"]) == len(baselines.LOADS)
    for line in result["points"]:
        assert len(line["contenders"]) == 3
        assert all(point["images_per_s"] > 0 for point in line["contenders"].values())
