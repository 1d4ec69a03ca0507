"""make bench without a server: its cases, what it makes of metrics, checks, ceilings, comparison and document."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.perf import document, figures, pages, plots
from benchmarks.perf.cases import GRPC, HTTP, JPEG, PIXELS, SETUPS, SHARED, TIMING, all_cases
from benchmarks.perf.ceilings import CARD, COPY, DECODE, TRANSPORT, Stage, Way, ways
from benchmarks.perf.checks import judge, spread
from benchmarks.perf.compare import compare
from benchmarks.perf.observe import Counted

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
        "rounds": 3,
        "seconds": 1.2,
        "complete": True,
        "cards": {"timing": {"run_s": 1.6e-3, "image_s": 0.368e-3}},
        "jpegs": "96 pictures",
        "setups": {"timing": "at most 128 images in a run of the card"},
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
        "timing card, PIXELS over gRPC, batch 100": "none",
        "timing card, PIXELS over HTTP, batch 100": "not measured",
        "timing card, PIXELS over gRPC, one image alone": "missed",
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


def test_rounds_that_agree_by_chance_do_not_make_noise_small() -> None:
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
    (tmp_path / "old.json").write_text(json.dumps(old))
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


def test_spread_shows_median_and_range() -> None:
    assert spread([2.5, 2.4, 2.61]) == "2.50 (2.40-2.61)"
    assert spread([400.0, 404.0, 396.0]) == "400 (396-404)"
    assert spread([7.0]) == "7.00"


def test_the_committed_documents_are_made_of_the_committed_figures() -> None:
    results = document.read(document.COMMITTED)
    assert {"load", "baselines", "loadgen"} <= set(results)
    made = document.pages_of(results)
    for path, text in made.items():
        assert path.read_text() == text, "run 'make performance'"
    assert set((document.DOCS / "assets" / "performance").glob("*.svg")) == {p for p in made if p.suffix == ".svg"}
    for name, result in results.items():
        assert (document.COMMITTED / f"{name}.json").read_text() == document.dumps(result)


def test_a_page_without_its_marks_is_not_written() -> None:
    page = "a\n<!-- figures: make fleet -->\n\nold\n\n<!-- end of figures -->\nb\n"
    assert pages.replace(page, "make fleet", ["new"]) == page.replace("old", "new")
    for damaged in ("a\n", page.replace("<!-- end of figures -->", "")):
        with pytest.raises(ValueError, match="make fleet"):
            pages.replace(damaged, "make fleet", ["new"])


def test_a_fault_in_every_setup_is_one_row() -> None:
    row = {"case": "a run hangs", "sent": 9, "right": 7, "codes": {"UNAVAILABLE": 1}, "wrong": 0, "lost": 1}
    row |= {"longest_s": 2.0, "recovery_s": 2.5, "recovered": True}
    quiet = row | {"setup": "two cards", "right": 9, "codes": {}, "lost": 0, "recovery_s": None}
    rows = [row | {"setup": "one card"}, row | {"setup": "one card", "case": "kill -9"}, quiet]
    text = "\n".join(pages.faults({"made": result()["made"], "rows": rows}))
    everywhere, single = text.split("| case with settings of its own |")
    assert "| a run hangs | 7 of 9, 1 UNAVAILABLE, **1 lost** | 2.00 s | 2.50 s | 9 of 9 | 2.00 s |" in everywhere
    assert "| kill -9 | 7 of 9, 1 UNAVAILABLE, **1 lost** | 2.00 s | 2.50 s |\n" in f"{single}\n"


def test_plots_show_what_the_tables_say() -> None:
    load = result(row(), row(concurrency=4, images_per_s=[800.0, 804.0, 796.0]), row(concurrency=16))
    svg = plots.lines("a <title>", "in flight", "images/s", [plots.Line("one", [(1, 400.0), (4, 800.0)], 0)])
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "a &lt;title&gt;" in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")  # loads nothing
    assert plots.lines("none", "", "", []) == plots.bars("none", {}, "") == plots.stacks("none", {}, "") == ""
    assert set(figures.all_plots({"load": load})) == {"rate", "latency", "stages"}


def test_the_document_says_what_is_missing() -> None:
    text = document.render({"load": result(row(p50_ms=[2.9]))})
    assert "| timing card, PIXELS over gRPC, one image alone |" in text
    assert "**met**" in text
    assert "| software card against a CPU server | more images/s at no longer p99 | - | not measured |" in text
    lost = deepcopy(result(row()))
    lost["rows"] = []
    assert "**" not in document.render({"load": {**lost, "checks": []}}).split("## Targets")[1].split("##")[0]


def way(*stages: Stage, reached: float = 100.0) -> Way:
    return Way("software", JPEG, 2, stages, reached)


def test_the_slowest_stage_is_the_bottleneck_where_the_cores_could_do_more() -> None:
    found = way(Stage(DECODE, 900, 1.0), Stage(TRANSPORT, 3000, 0.2), Stage(COPY, 20000, 0.02), Stage(CARD, 400, 0.0))
    assert found.of_cores == pytest.approx(2000 / 1.22)
    assert (found.bottleneck, found.ceiling) == (CARD, 400)


def test_where_the_cores_end_first_the_stage_that_takes_most_of_them_is_the_bottleneck() -> None:
    found = way(Stage(DECODE, 1800, 1.1), Stage(TRANSPORT, 3000, 0.3), Stage(CARD, 250, 8.0))
    assert found.bottleneck == CARD
    assert found.ceiling == found.of_cores == pytest.approx(2000 / 9.4)
    cheap = way(Stage(DECODE, 1800, 1.1), Stage(TRANSPORT, 3000, 0.3), Stage(CARD, 2600, 0.0))
    assert (cheap.bottleneck, cheap.ceiling) == (DECODE, cheap.of_cores)


def test_ways_take_what_was_reached_from_the_rows() -> None:
    measured = {
        DECODE: Stage(DECODE, 1800, 1.0),
        f"{TRANSPORT}, {PIXELS}": Stage(TRANSPORT, 9000, 0.1),
        f"{TRANSPORT}, {JPEG}": Stage(TRANSPORT, 1400, 1.4),
        COPY: Stage(COPY, 20000, 0.05),
        f"{CARD}, timing": Stage(CARD, 2600, 0.01),
        f"{CARD}, software": Stage(CARD, 250, 8.0),
    }
    jpegs = {**row(concurrency=64, images_per_s=[1100.0, 1000.0, 1200.0]), "input": JPEG}
    pixels, encoded = ways(measured, [row(), row(SHARED, 100, 4, images_per_s=[2500.0]), jpegs])
    assert (pixels.input, pixels.reached, pixels.bottleneck, pixels.ceiling) == (PIXELS, 2500, CARD, 2600)
    assert [stage.name for stage in encoded.stages] == [DECODE, TRANSPORT, COPY, CARD]
    assert encoded.stages[1].cpu_ms == pytest.approx(0.4)  # without the decoding that was in it
    assert encoded.stages[3].cpu_ms == 0  # an Alveo's is not the host's
    assert (encoded.reached, encoded.bottleneck) == (1100, DECODE)
    text = document.render({"load": {**result(row()), "ceilings": [pixels.as_json(), encoded.as_json()]}})
    assert "| timing | JPEG | **decode: the bottleneck** | 1800 | 1.00 |" in text
    assert "| timing | PIXELS | **reached, at the best load** | 2500, 96% of 2600 |  |" in text
