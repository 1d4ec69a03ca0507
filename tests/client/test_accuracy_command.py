"""`resnet50-client accuracy` against the real server, its figures against a computation of our own."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from client_support import CORRUPT, Run

pytestmark = pytest.mark.server


@pytest.fixture
def folder(tmp_path: Path, jpegs: list[Path], stock_ranks: dict[str, list[int]]) -> Path:
    """Images whose fate is known: 5 right, 3 wrong but in the top five, 2 wrong, 1 unlabelled, 1 corrupt, 1 missing."""
    folder = tmp_path / "val"
    (folder / "more" / "deeper").mkdir(parents=True)
    lines = ["gone.jpg 7"]
    for i, path in enumerate(jpegs):
        shutil.copy(path, folder / "more" / "deeper" if i % 2 else folder)
        rank = 0 if i < 5 else i - 4 if i < 8 else 5 if i == 8 else 999
        if i < 10:
            lines.append(f"{path.name} {stock_ranks[path.name][rank]}")
    (folder / "corrupt.jpg").write_bytes(CORRUPT)
    lines.append("corrupt.jpg 1")
    (folder / "labels.txt").write_text("\n".join(lines))
    return folder


def test_the_figures_are_right(
    run: Run, url: str, folder: Path, tmp_path: Path, stock_ranks: dict[str, list[int]]
) -> None:
    results = tmp_path / "results.csv"
    done = run("accuracy", folder, "--labels", folder / "labels.txt", "--url", url, "--json", "--outfile", results)
    assert done.returncode == 1  # an image failed
    summary = json.loads(done.stdout)
    assert (summary["top1"]["hits"], summary["top1"]["of"]) == (5, 10)
    assert (summary["top5"]["hits"], summary["top5"]["of"]) == (8, 10)
    assert summary["top1"]["low"] == pytest.approx(0.2366, abs=5e-5)  # Wilson's for 5 of 10
    assert summary["top1"]["high"] == pytest.approx(0.7634, abs=5e-5)
    assert summary["images"] == 12
    assert [(Path(f["file"]).name, bool(f["error"])) for f in summary["failed"]] == [("corrupt.jpg", True)]
    assert [Path(file).name for file in summary["unlabelled"]] == ["noise 10.jpg"]
    assert summary["missing"] == ["gone.jpg"]
    assert summary["skipped"] == {}  # the labels are not "another file"
    assert summary["server_faults"] == 0
    assert summary["not_reached"] == 0
    assert summary["images_per_s"] > 0
    assert summary["passed"] is False
    assert summary["server"]["url"] == url
    assert summary["server"]["cards"] == ["software:0"]

    rows = list(csv.DictReader(results.open(newline="")))
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    answers = {Path(row["file"]).name: row for row in rows}
    assert len(rows) == len(answers) == 12
    assert answers["corrupt.jpg"]["verdict"] == "failed"
    for name, ranks in stock_ranks.items():
        assert answers[name]["top"].split() == [str(i) for i in ranks[:5]]


def test_the_text_summary(run: Run, url: str, folder: Path) -> None:
    done = run("accuracy", folder, "--labels", folder / "labels.txt", "--url", url)
    lines = done.stdout.splitlines()
    rows, summary = lines[1:13], "\n".join(lines[13:])
    assert lines[0].split() == ["file", "class", "score", "margin", "result"]
    assert sum(row.endswith("  right") for row in rows) == 5
    assert sum("  wrong (expected " in row for row in rows) == 5
    assert sum("  failed: " in row for row in rows) == 1
    assert sum(row.endswith("  unlabelled") for row in rows) == 1
    assert "top-1      50.0 %  (5 of 10; 95 % interval 23.7 to 76.3 %)" in summary
    assert "top-5      80.0 %  (8 of 10; 95 % interval 49.0 to 94.3 %)" in summary
    assert "10 of 12 images scored" in summary
    assert "1 failed:" in summary
    assert "1 unlabelled:" in summary
    assert "1 have a label but no image:" in summary
    assert "images/s (11 in" in summary
    assert "software:0" in summary
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(("limit", "code"), [("50", 0), ("50.1%", 1)])
def test_the_exit_code_says_whether_top1_is_enough(run: Run, url: str, folder: Path, limit: str, code: int) -> None:
    words = ("accuracy", folder, "--labels", folder / "labels.txt", "--url", url, "--min-top1", limit)
    assert ("1 image failed; top-1 is below the 50.1 % asked for" in run(*words).stdout) == bool(code)
    (folder / "corrupt.jpg").unlink()
    done = run(*words)
    assert done.returncode == code
    assert ("top-1 is below the 50.1 % asked for" in done.stdout) == bool(code)


def test_only_wrong_rows(run: Run, url: str, folder: Path) -> None:
    done = run("accuracy", folder, "--labels", folder / "labels.txt", "--url", url, "--show", "wrong")
    rows = done.stdout[: done.stdout.index("top-1")].splitlines()[1:]
    assert len(rows) == 6
    assert all("  wrong (expected " in row or "  failed: " in row for row in rows)


def test_json_lines_outfile(run: Run, url: str, folder: Path, stock_logits: dict[str, Any], tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    run("accuracy", folder, "--labels", folder / "labels.txt", "--url", url, "--outfile", results)
    answers = {Path(line["file"]).name: line for line in map(json.loads, results.read_text().splitlines())}
    for name, logits in stock_logits.items():
        best = sorted(logits, reverse=True)
        assert [candidate["score"] for candidate in answers[name]["top"]] == best[:5]
        assert answers[name]["margin"] == best[0] - best[1]


def test_a_full_disk_is_said_and_the_summary_still_printed(run: Run, url: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "full.csv").symlink_to("/dev/full")
    done = run("accuracy", folder, "--labels", folder / "labels.txt", "--url", url, "--outfile", tmp_path / "full.csv")
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "10 of 12 images scored" in done.stdout


def test_labels_that_fit_no_image_are_a_mistake(run: Run, url: str, folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "other.txt"
    labels.write_text("elsewhere.jpg 1\n")
    done = run("accuracy", folder, "--labels", labels, "--url", url)
    assert done.returncode == 2
    assert "none of the 12 images has a label" in done.stderr
    assert "'elsewhere.jpg'" in done.stderr


def test_ctrl_c_reports_what_was_done(start: Any, url: str, jpegs: list[Path], tmp_path: Path) -> None:
    count = 3000
    many = tmp_path / "many"
    many.mkdir()
    for i in range(count):
        (many / f"{i:05}.jpg").symlink_to(jpegs[0])
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{i:05}.jpg 0\n" for i in range(count)))
    process = start("accuracy", many, "--labels", labels, "--url", url, "--show", "all")
    process.stdout.readline()
    process.stdout.readline()  # the first image's row: the run has begun
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "not reached" in output
    assert "images scored" in output
    assert errors.strip() == "resnet50-client: interrupted"
