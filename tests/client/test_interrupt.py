"""Ctrl-C, once, twice, at any moment: the client ends, and what was recorded stays."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from client_support import Run, Start, recorded, wait_for_records
from fast import make_images
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server

TRIALS = 10  # the old client hung in 2 of 30, at three moments
ENDS_WITHIN_S = 30


@pytest.fixture(scope="module")
def val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "val"
    make_images(folder, 1000)
    return folder


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_twice_at_once_never_hangs(
    start: Start, run: Run, fast_server: Server, val: Path, tmp_path: Path, protocol: str
) -> None:
    url = f"http://{fast_server.http_url}" if protocol == "http" else fast_server.grpc_url
    words = ["accuracy", val, "--labels", val.with_suffix(".labels.txt"), "--url", url, "--concurrency", 2]
    words += ["--outfile", tmp_path / "r.csv", "--json"]
    before = 0
    for trial in range(TRIALS):
        process = start(*words, "--resume")
        wait_for_records(tmp_path / "r.sqlite", before + 1, process)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.004 * trial)  # a different moment each time, from at once on
        _, errors = process.communicate(timeout=ENDS_WITHIN_S)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        before = recorded(tmp_path / "r.sqlite")
        assert before < 1000
    assert run(*words, "--resume").returncode == 1  # all is there, and 100 of them failed
    assert recorded(tmp_path / "r.sqlite") == 1000


def test_once_is_enough_while_a_file_hangs(start: Start, fast_server: Server, tmp_path: Path) -> None:
    """A thread reads from a pipe that nobody writes to, as from a network drive that has gone."""
    os.mkfifo(tmp_path / "pipe")
    process = start("classify", tmp_path / "pipe", "--url", fast_server.grpc_url)
    writer = _open_when_read(tmp_path / "pipe", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=ENDS_WITHIN_S)
    os.close(writer)
    assert process.returncode == 130
    assert errors.strip() == "resnet50-client: interrupted"


def _open_when_read(pipe: Path, process: Any) -> int:
    """Open a pipe as soon as the other side reads it: only then this does not fail."""
    while True:
        assert process.poll() is None
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.01)


def test_places_that_cannot_be_written_are_told_before_the_first_image(
    run: Run, fast_server: Server, val: Path, tmp_path: Path
) -> None:
    words = ["accuracy", val, "--labels", val.with_suffix(".labels.txt"), "--url", fast_server.grpc_url]
    for option in ("--report", "--trace", "--outfile"):
        for place in (tmp_path / "nowhere" / "r.csv", Path("/proc/r.csv")):
            done = run(*words, option, place)
            assert done.returncode == 2
            assert "cannot write '" in done.stderr
            assert str(place.with_suffix("")) in done.stderr
            assert done.stdout == ""
    done = run(*words, "--report", tmp_path)
    assert "it is a folder (name a file in it)" in done.stderr
    done = run("classify", val, "--url", fast_server.grpc_url, "--outfile", tmp_path / "nowhere" / "r.csv")
    assert (done.returncode, done.stdout) == (2, "")
