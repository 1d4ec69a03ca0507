"""Runs that are cut short, by whatever, and gone on with: the same figures and files as without the break."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_support import FEW, Run, Start, recorded, wait_for_records
from fast import make_images
from resnet50_client.results import Results
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server

COUNT = 1000
OF_THE_MOMENT = ("latency_s", "server")  # columns that no two runs have in common


@pytest.fixture(scope="module")
def val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "val"
    make_images(folder, COUNT)
    return folder


@pytest.fixture
def job(val: Path, tmp_path: Path) -> Callable[[str], list[Any]]:
    """The options of a run with results in a file of this name, and few images in flight, so that it takes a while."""

    def options(outfile: str, *others: Any) -> list[Any]:
        labels = val.with_suffix(".labels.txt")
        results = ["--outfile", tmp_path / outfile, "--json"]
        return ["accuracy", val, "--labels", labels, "--concurrency", 4, *results, *others]

    return options


def comparable(summary: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on breaks."""
    passing = ("duration_s", "images_per_s", "resumed", "server")
    return {name: value for name, value in summary.items() if name not in passing}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in OF_THE_MOMENT} for row in csv.DictReader(file)]


def test_killed_three_times(run: Run, start: Start, fast_server: Server, job: Any, tmp_path: Path) -> None:
    fast_url = fast_server.grpc_url
    straight = run(*job("straight.csv"), "--url", fast_url)
    resume: list[str] = []
    for count in (1, 300, 600):
        process = start(*job("broken.csv", *resume), "--url", fast_url)
        wait_for_records(tmp_path / "broken.sqlite", count, process)
        process.kill()
        process.wait()
        resume = ["--resume"]
    refused = run(*job("broken.csv"), "--url", fast_url)
    assert refused.returncode == 2
    assert "go on with --resume" in refused.stderr
    done = run(*job("broken.csv", "--resume"), "--url", fast_url)
    assert done.returncode == straight.returncode == 1
    summary = json.loads(done.stdout)
    assert 600 <= summary["resumed"] < COUNT
    assert comparable(summary) == comparable(json.loads(straight.stdout))
    assert rows(tmp_path / "broken.csv") == rows(tmp_path / "straight.csv")
    assert len(rows(tmp_path / "broken.csv")) == COUNT
    again = run(*job("broken.csv", "--resume"), "--url", fast_url)  # nothing is left to do
    assert comparable(json.loads(again.stdout)) == comparable(summary)


def test_ctrl_c_and_resume(run: Run, start: Start, fast_server: Server, job: Any, tmp_path: Path) -> None:
    fast_url = f"http://{fast_server.http_url}"
    process = start(*job("r.jsonl"), "--url", fast_url)
    wait_for_records(tmp_path / "r.sqlite", 100, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(output)["not_reached"] > 0
    done = run(*job("r.jsonl", "--resume"), "--url", fast_url)
    assert json.loads(done.stdout)["not_reached"] == 0
    answers = [json.loads(line)["file"] for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert answers == sorted(set(answers))
    assert len(answers) == COUNT


def test_a_full_disk_loses_nothing(run: Run, fast_server: Server, job: Any, tmp_path: Path) -> None:
    def no_file_over_a_megabyte() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    options = ("--url", fast_server.grpc_url)
    broken = run(*job("r.csv"), *options, preexec_fn=no_file_over_a_megabyte)
    assert broken.returncode == 2
    assert f"cannot write to {tmp_path}/r.sqlite" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert 0 < recorded(tmp_path / "r.sqlite") < COUNT
    done = run(*job("r.csv", "--resume"), *options)
    straight = run(*job("straight.csv"), *options)
    assert comparable(json.loads(done.stdout)) == comparable(json.loads(straight.stdout))
    assert rows(tmp_path / "r.csv") == rows(tmp_path / "straight.csv")


def test_another_run_on_the_same_file_is_refused(run: Run, fast_server: Server, job: Any, tmp_path: Path) -> None:
    with Results(tmp_path / "r.sqlite"):
        second = run(*job("r.jsonl", "--resume"), "--url", fast_server.grpc_url)
    assert second.returncode == 2
    assert f"r.sqlite' is in use: process {os.getpid()} on {socket.gethostname()} has it since 20" in second.stderr


def test_of_a_complete_run_the_files_are_written_again(run: Run, fast_server: Server, few: Any, tmp_path: Path) -> None:
    run(*few, "--url", fast_server.grpc_url)
    few[few.index(tmp_path / "r.csv")] = tmp_path / "r.jsonl"
    done = run(*few, "--resume", "--url", fast_server.grpc_url)
    assert json.loads(done.stdout)["resumed"] == FEW
    assert [json.loads(line)["file"] for line in (tmp_path / "r.jsonl").read_text().splitlines()] == [
        row["file"] for row in rows(tmp_path / "r.csv")
    ]
    assert sorted(path.name for path in tmp_path.glob("r.*")) == ["r.csv", "r.jsonl", "r.sqlite"]


@pytest.mark.parametrize(
    ("protocol", "how", "shm"),
    [("grpc", "end", False), ("http", "kill", False), pytest.param("grpc", "kill", True, marks=pytest.mark.long)],
)
def test_a_restart_of_the_server_loses_nothing(
    start: Start,
    restartable: Callable[[], Server],
    few: list[Any],
    tmp_path: Path,
    protocol: str,
    how: str,
    shm: bool,
) -> None:
    server = restartable()
    url = f"grpc://{server.grpc_url}" if protocol == "grpc" else f"http://{server.http_url}"
    process = start(*few, "--url", url, *(["--shm"] if shm else []))
    wait_for_records(tmp_path / "r.sqlite", 50, process)
    if how == "kill":
        server.process.kill()
    server.stop()
    assert process.poll() is None
    restartable()
    output, errors = process.communicate(timeout=60)
    assert errors == ""
    summary = json.loads(output)
    assert (summary["scored"], len(summary["failed"]), summary["not_reached"]) == (FEW * 8 // 10, FEW // 10, 0)
    assert {entry["error"] for entry in summary["failed"]} == {"this image is bad"}


def test_a_server_that_stays_away_ends_the_run_and_resume_goes_on(
    run: Run, start: Start, restartable: Callable[[], Server], few: list[Any], tmp_path: Path
) -> None:
    server = restartable()
    process = start(*few, "--url", server.grpc_url, "--retry-s", "0.5")
    wait_for_records(tmp_path / "r.sqlite", 50, process)
    server.kill()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "gave up after 0.5 s" in errors
    assert json.loads(output)["not_reached"] > 0
    done = run(*few, "--resume", "--url", restartable().grpc_url)
    assert json.loads(done.stdout)["not_reached"] == 0
    assert len(rows(tmp_path / "r.csv")) == FEW


def test_resume_wants_the_same_job(run: Run, fast_server: Server, val: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("00001.jpg 5\n")
    url = ("--url", fast_server.grpc_url)
    run("accuracy", val / "00001.jpg", "--labels", other, "--outfile", tmp_path / "j.sqlite", *url)
    done = run("accuracy", val, "--labels", other, "--outfile", tmp_path / "j.sqlite", "--resume", *url)
    assert done.returncode == 2
    assert "another run" in done.stderr
    done = run("accuracy", val, "--labels", other, "--resume", *url)
    assert done.returncode == 2
    assert "name its --outfile" in done.stderr
