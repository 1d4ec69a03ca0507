"""The file of a run: what is in it after any end of the process, whom it keeps out, and what is written from it."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resnet50_client.database import CHUNK, open_notes, pack, unpack
from resnet50_client.errors import DatasetError
from resnet50_client.prediction import Candidate, Prediction, Provenance, Times
from resnet50_client.results import COLUMNS, Results, require_writable, run_file

NAMES = {1: "dog", 3: "cat", 5: "ä"}
TOLD = Provenance("xrt:0", 2, *range(7), runs=1)
IMAGES: list[tuple[Prediction, int | None]] = [
    (Prediction("a b.jpg", (Candidate(3, "cat", 50), Candidate(1, "dog", 7)), 43, server="grpc://x:1"), 3),
    (Prediction("b.jpg", (Candidate(3, "cat"), Candidate(1, "dog")), xclbin_uuid="0f", provenance=TOLD), None),
    (Prediction("odd \udcff\n.jpg", error="not an \udc80 image"), 5),
    (Prediction("d.jpg", (Candidate(9, None, 5),), 5, latency_s=0.25, times=Times(1, 2, 3, 4)), 8),
]
ASKED = [(prediction.source, label) for prediction, label in IMAGES]


@contextmanager
def opened(path: Path, *, resume: bool = False, **about: str) -> Iterator[Results]:
    with Results(path) as results:
        results.begin(ASKED, {"model": "classify", **about}, resume=resume)
        results.name_classes(NAMES)
        yield results


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(results: Results, count: int = len(IMAGES)) -> None:
    """Record so many of what is missing."""
    for position in list(results.unanswered())[:count]:
        results.record(position, IMAGES[position][0])


def test_everything_comes_back_from_one_file(tmp_path: Path) -> None:
    with opened(tmp_path / "run.sqlite") as results:
        fill(results)
    assert files(tmp_path) == ["run.sqlite"]
    with opened(tmp_path / "run.sqlite", resume=True) as results:
        assert [(scored.prediction, scored.label) for scored in results.rows()] == IMAGES
        assert [scored.verdict for scored in results.rows()] == ["right", "unlabelled", "failed", "wrong"]
        assert list(results.unanswered()) == []
    rows = sqlite3.connect(tmp_path / "run.sqlite").execute("SELECT file, label, class FROM results").fetchall()
    assert rows[0] == ("a b.jpg", 3, 3)


def test_a_fault_of_the_server_is_no_answer(tmp_path: Path) -> None:
    with opened(tmp_path / "run.sqlite") as results:
        results.record(0, Prediction("a b.jpg", error="stub", is_server_fault=True))
        results.record(1, IMAGES[1][0])
        assert list(results.unanswered()) == [0, 2, 3]


def test_an_unfinished_run_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with opened(path) as results:
        fill(results, 2)
    with pytest.raises(DatasetError, match="cut short after 2 of 4 images: go on with --resume"), opened(path):
        pass
    with opened(path, resume=True) as results:
        assert list(results.unanswered()) == [2, 3]
        fill(results)
    with opened(path) as results:  # a finished one is
        assert results.recorded == 0


def test_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with opened(path) as results:
        fill(results, 2)
    with (
        pytest.raises(DatasetError, match="another run: its model is classify, now it is other"),
        opened(path, resume=True, model="other"),
    ):
        pass
    for images, found in [
        (ASKED[:-1], "'d.jpg' with the label 8 where now there is 'None'"),
        ([("z.jpg", 3), *ASKED[1:]], "'a b.jpg' with the label 3 where now there is 'z.jpg' with the label 3"),
        ([("a b.jpg", 4), *ASKED[1:]], "with the label 3 where now there is 'a b.jpg' with the label 4"),
    ]:
        with Results(path) as results, pytest.raises(DatasetError, match=found):
            results.begin(images, {"model": "classify"}, resume=True)
    with opened(path, resume=True) as results:  # and is as it was
        assert results.recorded == 2


def test_what_is_no_run_is_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "text.sqlite", tmp_path / "other.sqlite"
    text.write_text("hello\n" * 200)
    sqlite3.connect(other).execute("CREATE TABLE mine (a)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(DatasetError, match="is no run of this client"):
            Results(path)
        assert path.read_bytes() == before
    with pytest.raises(DatasetError, match=r"cannot write '/nowhere/x.sqlite'"):
        Results(Path("/nowhere/x.sqlite"))
    (tmp_path / "empty.sqlite").touch()  # as `mktemp` makes it
    Results(tmp_path / "empty.sqlite").__exit__(None, None, None)


HOLD = """
import sys, time
from pathlib import Path
from resnet50_client.prediction import Candidate, Prediction
from resnet50_client.results import Results
results = Results(Path(sys.argv[1]))
results.begin([(str(i), i % 7) for i in range(2000)], {}, resume=True)
print("ready", flush=True)
for position in results.unanswered():
    results.record(position, Prediction(str(position), (Candidate(position % 7),), server="me"))
    print(position, flush=True)
print("done", flush=True)
sys.stdin.readline()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has a run, and records answers in it."""
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_run_is_told_who_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "it's 100% odd?.sqlite"
    with holder(path) as process:
        assert process.stdout
        while process.stdout.readline() != "done\n":
            pass
        told = rf"is in use: process {process.pid} on {socket.gethostname()} has it since 20\d\d-.*; let it end"
        with pytest.raises(DatasetError, match=told):
            Results(path)
    Results(path).__exit__(None, None, None)  # the lock ends with the process


def test_killed_at_any_moment_nothing_is_lost_and_nothing_asked_twice(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    answered: list[int] = []
    for count in (0, 1, 2, 50, 500):
        with holder(path) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            for _ in range(count):
                answered.append(int(process.stdout.readline()))
            process.send_signal(signal.SIGKILL)
            answered += [int(line) for line in process.stdout if line.strip().isdigit()]
    with Results(path) as results:
        recorded = [int(scored.prediction.source) for scored in results.rows()]
    assert len(answered) == len(set(answered))
    assert set(answered) <= set(recorded)
    assert len(recorded) <= len(answered) + 5  # of each kill, at most the one that was recorded and not printed
    assert files(tmp_path) == ["run.sqlite"]


@settings(deadline=None, max_examples=50)  # each makes files
@given(st.integers(0, 4000))
def test_cut_anywhere_the_wal_goes_on_from_a_record(cut: int) -> None:
    """Whatever part of the last answers is on the disk, what is there is a run of the first so many images."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        whole, part = Path(folder, "run.sqlite"), Path(folder, "part.sqlite")
        with opened(whole) as results:
            fill(results)
            shutil.copy(whole, part)
            data = Path(f"{whole}-wal").read_bytes()
        Path(f"{part}-wal").write_bytes(data[: len(data) * cut // 4000])
        with Results(part) as results:
            results.begin(ASKED, {"model": "classify"}, resume=True)
            results.name_classes(NAMES)
            fill(results)
            assert [scored.prediction for scored in results.rows()] == [prediction for prediction, _ in IMAGES]


def test_exports_are_whole_or_not_there(tmp_path: Path) -> None:
    with opened(tmp_path / "run.sqlite") as results:
        fill(results)
        (tmp_path / "r.csv").write_text("the last one")
        for name in ("r.csv", "r.jsonl"):
            results.export(tmp_path / name, profile=True)
        with (tmp_path / "r.csv").open(newline="", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
        lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
        assert [row["file"] for row in rows] == [line["file"] for line in lines] == [name for name, _ in ASKED]
        assert set(COLUMNS) < set(rows[0])
        assert lines[1]["provenance"]["card"] == rows[1]["card"] == "xrt:0"
        results.db.execute("DROP TABLE class")
        results.db.execute("DROP TABLE answer")
        with pytest.raises(sqlite3.OperationalError):
            results.export(tmp_path / "r.csv")
    assert len((tmp_path / "r.csv").read_bytes().splitlines()) > 4
    assert files(tmp_path) == ["r.csv", "r.jsonl", "run.sqlite"]


def test_places_are_tried_at_the_start(tmp_path: Path) -> None:
    require_writable(None, tmp_path / "r.csv", Path("/dev/stdout"))
    assert files(tmp_path) == []
    for path in (Path("/nowhere/r.html"), tmp_path, Path("/proc/r.html")):
        with pytest.raises(DatasetError, match=f"cannot write '{path}'"):
            require_writable(path)
    assert run_file(Path("x/r.csv")) == run_file(Path("x/r.jsonl")) == Path("x/r.sqlite")
    with pytest.raises(DatasetError, match=r"must end in .csv, .jsonl or .sqlite"):
        run_file(Path("r.txt"))


# Any text, lone surrogates included, as names of files and messages of servers may have them.
@given(st.lists(st.text(st.characters())))
def test_any_text_comes_back(texts: list[str]) -> None:
    db = open_notes("CREATE TABLE t (a)")
    db.executemany("INSERT INTO t VALUES (?)", ((pack(text),) for text in texts))
    assert [unpack(text) for (text,) in db.execute("SELECT a FROM t ORDER BY rowid")] == texts


def test_a_run_of_several_chunks() -> None:
    count = 2 * CHUNK + 3
    with Results() as results:
        results.begin(((str(i), i) for i in range(count)), {}, resume=False)
        for position in results.unanswered():
            if position % 3:
                results.record(position, Prediction(str(position), (Candidate(position),)))
        assert list(results.unanswered()) == list(range(0, count, 3))
        assert [int(scored.prediction.source) for scored in results.rows()] == [i for i in range(count) if i % 3]
