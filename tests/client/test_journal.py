"""The journal: what is in it after any interruption, and what it refuses."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resnet50_client.accuracy import Judged
from resnet50_client.errors import DatasetError
from resnet50_client.journal import Journal
from resnet50_client.outfile import as_json
from resnet50_client.prediction import Candidate, Prediction, Times

ABOUT = {"images": 4, "digest_of_labels": "ab"}
JUDGED = [
    Judged(Prediction("a b.jpg", (Candidate(3, "cat", 50), Candidate(1, None, 7)), 43, server="grpc://x:1"), 3, "cat"),
    Judged(Prediction("b.jpg", (Candidate(3), Candidate(1)), provenance={"card": "xrt:0", "batch": 2}), None),
    Judged(Prediction("odd \udcff\n.jpg", error="not an image"), 5, "dog"),
    Judged(Prediction("d.jpg", (Candidate(9, "ä", 5),), 5, latency_s=0.25, times=Times(1, 2, 3, 4)), 8, None),
]


def write(path: Path, judged: list[Judged], *, finish: bool = False, resume: bool = False) -> None:
    with Journal(path, ABOUT, resume=resume) as journal:
        for each in judged[journal.recorded :]:
            journal.add(each)
        if finish:
            journal.finish()


def replayed(path: Path, **about: Any) -> list[Judged]:
    with Journal(path, {**ABOUT, **about}, resume=True) as journal:
        return list(journal.replay())


def test_everything_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "j", JUDGED, finish=True)
    assert replayed(tmp_path / "j") == JUDGED


@given(st.integers(0, 10_000), st.binary(max_size=5).map(lambda data: data.replace(b"\n", b"")))
def test_cut_anywhere_it_goes_on_to_the_same_end(cut: int, rubbish: bytes) -> None:
    """Whatever part of it is on the disk, and half a line of anything behind, the finished journal is the same."""
    with tempfile.TemporaryDirectory() as folder:
        whole, part = Path(folder, "whole"), Path(folder, "part")
        write(whole, JUDGED, finish=True)
        data = whole.read_bytes()
        lines_end = data.rfind(b"\n", 0, cut % (len(data) + 1)) + 1
        part.write_bytes(data[:lines_end] + rubbish if rubbish and lines_end else data[: cut % (len(data) + 1)])
        write(part, JUDGED, finish=True, resume=True)
        assert part.read_bytes() == data


def test_an_unfinished_one_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "j", JUDGED[:2])
    with pytest.raises(DatasetError, match=r"cut short after 2 images: go on with --resume"):
        Journal(tmp_path / "j", ABOUT, resume=False)
    write(tmp_path / "j", JUDGED, finish=True, resume=True)
    write(tmp_path / "j", JUDGED[:1])  # a finished one is
    assert replayed(tmp_path / "j") == JUDGED[:1]


def test_one_of_another_run_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "j", JUDGED)
    with pytest.raises(DatasetError, match=r"another run: its digest of labels is ab, now it is cd"):
        replayed(tmp_path / "j", digest_of_labels="cd")


@pytest.mark.parametrize("text", ["hello\n", "{}\n", '{"some": "json"}\n[1]\n', '{"resnet50_client_journal": 99}\n'])
def test_what_is_no_journal_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "j").write_text(text)
    with pytest.raises(DatasetError, match="no journal"):
        Journal(tmp_path / "j", ABOUT, resume=True)
    assert (tmp_path / "j").read_text() == text


def test_each_image_is_on_disk_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", ABOUT, resume=False) as journal:
        for count, judged in enumerate(JUDGED, 1):
            journal.add(judged)
            lines = (tmp_path / "j").read_bytes().splitlines()
            assert len(lines) == 1 + count
            assert json.loads(lines[-1]) == as_json(judged)
