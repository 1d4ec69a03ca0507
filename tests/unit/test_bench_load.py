"""make bench without a server: its cases, what it makes of metrics, checks, comparison, page and document."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.perf import document
from benchmarks.perf.cases import GRPC, HTTP, JPEG, PIXELS, SETUPS, SHARED, TIMING, all_cases
from benchmarks.perf.checks import judge
from benchmarks.perf.compare import compare
from benchmarks.perf.observe import Counted
from benchmarks.perf.page import render, spread

ROOT = Path(__file__).resolve().parents[2]


def row(transport: str = GRPC, batch: int = 1, concurrency: int = 1, **figures: list[float]) -> dict[str, Any]:
    case = {"server": "timing", "input": PIXELS, "transport": transport, "batch": batch, "concurrency": concurrency}
    values = {"images_per_s": [400.0, 404.0, 396.0], "p50_ms": [2.4, 2.5, 2.6], "p99_ms": [3.0, 3.1, 3.3], **figures}
    stages = {"client and transport": 0.4, "wait for a batch": 0.1, "kernel": 2.0}
    return {**case, **values, "stages_ms": stages, "mean_batch": 1.0, "batches": {"1": 900}}


def result(*rows: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "command": "make bench",
        "date": "2026-11-22T12:00:00+00:00",
        "machine": {"cpu": "a <fast> one", "cores": 2, "load_average_before": 0.1},
        "versions": {"python": "3.11.7"},
    }
    found: dict[str, Any] = {
        "made": made,
        "turns": 3,
        "seconds": 1.2,
        "complete": True,
        "cards": {"timing": {"start_s": 1.6e-3, "image_s": 0.368e-3}},
        "jpegs": "96 pictures",
        "setups": {"timing": "at most 128 images in a start of the card"},
        "rows": list(rows),
    }
    return {**found, "checks": judge(found)}


def test_cases_are_distinct_and_leave_each_server_a_rest() -> None:
    cases = list(all_cases())
    assert len(set(cases)) == len(cases)
    assert {case.server for case in cases} == {setup.name for setup in SETUPS}
    assert {(case.input, case.transport) for case in cases if case.server == TIMING.name} == {
        (kind, transport) for kind in (PIXELS, JPEG) for transport in (GRPC, HTTP, SHARED)
    }


def test_stages_add_up_to_the_clients_latency() -> None:
    counted = Counted(
        {
            ("nv_inference_request_success", "resnet50", ""): 100,
            ("nv_inference_queue_duration_us", "resnet50", ""): 50_000,
            ("resnet50_copy_seconds_sum", "resnet50", ""): 0.005,
            ("resnet50_copy_seconds_count", "resnet50", ""): 50,
            ("resnet50_kernel_seconds_sum", "resnet50", ""): 0.1,
            ("resnet50_kernel_seconds_count", "resnet50", ""): 50,
            ("resnet50_total_seconds_sum", "resnet50", ""): 0.3,
            ("resnet50_total_seconds_count", "resnet50", ""): 100,
            ("resnet50_batch_size_sum", "resnet50", ""): 100,
            ("resnet50_batch_size_count", "resnet50", ""): 50,
            ("resnet50_batch_size_bucket", "resnet50", "1"): 10,
            ("resnet50_batch_size_bucket", "resnet50", "2"): 45,
            ("resnet50_batch_size_bucket", "resnet50", "4"): 50,
            ("resnet50_batch_size_bucket", "resnet50", "+Inf"): 50,
        }
    )
    stages = counted.stages_ms(0.005, encoded=False)
    assert stages == {
        "client and transport": pytest.approx(1.5),
        "wait for a batch": pytest.approx(0.5),
        "copy to the card": pytest.approx(0.1),
        "kernel": pytest.approx(2.0),
        "wait, hand over": pytest.approx(0.9),
    }
    assert counted.mean_batch() == 2
    assert counted.batches() == {"1": 10, "2": 35, "4": 5}


def test_checks_hold_the_figures_against_the_card() -> None:
    rows = [
        row(SHARED, 100, 1, images_per_s=[2000.0]),
        row(SHARED, 100, 4, images_per_s=[2500.0]),
        row(GRPC, 100, 4, images_per_s=[1500.0]),
        row(GRPC, p50_ms=[3.0]),
    ]
    verdicts = {check["what"]: check["verdict"] for check in judge(result(*rows))}
    assert verdicts == {
        "timing card, PIXELS over shared memory, batch 100": "met",
        "timing card, PIXELS over gRPC, batch 100": "reached",
        "timing card, PIXELS over HTTP, batch 100": "not measured",
        "timing card, PIXELS over gRPC, one image alone": "not met",
        "timing card, PIXELS over HTTP, one image alone": "not measured",
        "timing card, PIXELS over shared memory, one image alone": "not measured",
    }


def verdicts(old: dict[str, Any], new: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(change.case, change.figure): change.verdict for change in compare(old, new)}


def test_a_result_has_not_moved_against_itself() -> None:
    same = result(row(), row(HTTP), row(SHARED, images_per_s=[1.0, 1.0, 1.0]))
    assert set(verdicts(same, same).values()) == {"same"}


def test_what_moved_by_more_than_its_spread_is_told() -> None:
    old, new = (
        result(row(), row(HTTP)),
        result(row(images_per_s=[300.0, 304.0, 296.0], p50_ms=[1.9, 1.9, 2.0]), row(HTTP)),
    )
    found = verdicts(old, new)
    case = "timing: PIXELS over gRPC, 1 x 1"
    assert found[case, "images_per_s"] == "worse"
    assert found[case, "p50_ms"] == "better"
    assert found[case, "p99_ms"] == "same"
    assert {verdict for (name, _), verdict in found.items() if name != case} == {"same"}


def test_turns_that_agree_by_chance_do_not_make_noise_small() -> None:
    quiet = {"images_per_s": [400.0, 400.0, 400.0]}
    moved = {"images_per_s": [404.0, 404.0, 404.0]}
    others = [row(HTTP, concurrency=n) for n in range(1, 5)]
    assert verdicts(result(row(**quiet), *others), result(row(**moved), *others)) == verdicts(
        result(row(), *others), result(row(), *others)
    )


def run_compare(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "benchmarks.perf.compare", *map(str, words)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_compare_says_by_its_exit_code_whether_something_got_worse(tmp_path: Path) -> None:
    old, slower = result(row()), result(row(images_per_s=[300.0, 304.0, 296.0]))
    slower["made"]["versions"] = {"python": "3.10.1"}
    (tmp_path / "old.json").write_text(json.dumps({"load": old, "loadgen": {}}))
    (tmp_path / "slower.json").write_text(json.dumps(slower))
    (tmp_path / "other.json").write_text("[]")
    (tmp_path / "once.json").write_text(json.dumps(result(row(p50_ms=[2.5], p99_ms=[3.0], images_per_s=[400.0]))))
    worse = run_compare(tmp_path / "old.json", tmp_path / "slower.json")
    assert worse.returncode == 1
    assert "note: python 3.11.7, then 3.10.1" in worse.stdout
    assert "worse   timing: PIXELS over gRPC, 1 x 1  images/s     400.00 ->    300.00   -25.0%" in worse.stdout
    assert run_compare(tmp_path / "slower.json", tmp_path / "old.json").returncode == 0
    unusable = run_compare(tmp_path / "old.json", tmp_path / "other.json")
    assert unusable.returncode == 2
    assert "other.json is no result of 'make bench'" in unusable.stderr
    once = run_compare(tmp_path / "once.json", tmp_path / "once.json")
    assert once.returncode == 2
    assert "no case in common that both measured at least twice" in once.stderr


def test_the_page_shows_everything_and_needs_nothing_else() -> None:
    page = render(result(row(), row(SHARED, 100, 4), row(SHARED), row(HTTP, concurrency=16)))
    assert page.count("<svg") == 4
    assert "a &lt;fast&gt; one" in page
    assert "src=" not in page
    assert "not measured" in page
    assert "Ended early" not in page
    assert "Ended early" in render({**result(row()), "complete": False})


def test_spread_shows_median_and_range() -> None:
    assert spread([2.5, 2.4, 2.61]) == "2.50 (2.40-2.61)"
    assert spread([400.0, 404.0, 396.0]) == "400 (396-404)"
    assert spread([7.0]) == "7.00"


def test_the_committed_document_is_made_of_the_committed_figures() -> None:
    figures = json.loads(document.DATA.read_text())
    assert document.DOCUMENT.read_text() == document.render(figures), "run 'make performance'"
    assert document.DATA.read_text() == document.dumps(figures)


def test_a_program_that_was_not_run_again_keeps_its_last_result(tmp_path: Path) -> None:
    old, new = result(row()), result(row(), row(HTTP))
    (tmp_path / "load.json").write_text(json.dumps(new))
    loadgen = {"made": old["made"], "note": "unofficial", "results": []}
    assert document.collect(tmp_path, {"load": old, "loadgen": loadgen}) == {"load": new, "loadgen": loadgen}


def test_the_document_says_what_is_missing() -> None:
    text = document.render({"load": result(row(p50_ms=[2.9]))})
    assert "| timing card, PIXELS over gRPC, one image alone |" in text
    assert "**met**" in text
    assert "| software card against a CPU server | more images/s at no longer p99 | - | not measured |" in text
    lost = deepcopy(result(row()))
    lost["rows"] = []
    assert "**" not in document.render({"load": {**lost, "checks": []}}).split("## What was promised")[1].split("##")[0]
