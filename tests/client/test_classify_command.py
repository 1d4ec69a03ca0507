"""`resnet50-client classify` against the real server, and what it says where it cannot work."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from client_support import COMMAND, CORRUPT, Run
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server


def test_answers_are_those_of_the_stock_client(
    run: Run, url: str, jpegs: list[Path], stock_logits: dict[str, Any], stock_ranks: dict[str, list[int]]
) -> None:
    done = run("classify", *jpegs, "--url", url, "--json", "--top", "7")
    assert done.returncode == 0
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == [str(path) for path in jpegs]
    for path, answer in zip(jpegs, answers, strict=True):
        ranks, logits = stock_ranks[path.name], stock_logits[path.name]
        assert [candidate["class"] for candidate in answer["top"]] == ranks[:7]
        assert [candidate["score"] for candidate in answer["top"]] == [logits[i] for i in ranks[:7]]
        assert answer["margin"] == logits[ranks[0]] - logits[ranks[1]]
        assert answer["error"] is None


def test_names_come_from_a_file_or_the_server(
    run: Run, url: str, jpegs: list[Path], stock_ranks: dict[str, list[int]], tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"thing number {i}" for i in range(1000)))
    best = stock_ranks[jpegs[0].name][0]
    done = run("classify", jpegs[0], "--url", url, "--names", names)
    assert f"  {best} thing number {best}  " in done.stdout


def test_the_table(run: Run, url: str, jpegs: list[Path], stock_ranks: dict[str, list[int]], tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text(f"{jpegs[0].name} {stock_ranks[jpegs[0].name][0]}\n{jpegs[1].name} 999\n")
    done = run("classify", *jpegs[:3], "--url", url, "--labels", labels, "--top", "2")
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["file", "class", "score", "margin", "result"]
    assert [row.rpartition("  ")[2] for row in rows[::2]] == [
        "right",
        "wrong (expected 999 (unused 999))",
        "unlabelled",
    ]
    assert [row.split()[0] for row in rows[1::2]] == [str(stock_ranks[path.name][1]) for path in jpegs[:3]]
    assert len(rows) == 6


def test_a_bad_image_fails_alone(run: Run, url: str, jpegs: list[Path], tmp_path: Path) -> None:
    corrupt, unreadable = tmp_path / "corrupt.jpg", tmp_path / "folder.jpg"
    corrupt.write_bytes(CORRUPT)
    unreadable.symlink_to("/proc/self/mem")
    done = run("classify", jpegs[0], corrupt, unreadable, jpegs[1], "--url", url, "--json")
    assert done.returncode == 1
    errors = [json.loads(line)["error"] for line in done.stdout.splitlines()]
    assert errors[0] is None
    assert errors[3] is None
    assert errors[1]
    assert errors[2] == "cannot read the file: Input/output error"
    assert "2 of 4 images failed" in done.stderr


def test_an_answer_is_waited_for_no_longer_than_asked(run: Run, url: str, jpegs: list[Path]) -> None:
    done = run("classify", jpegs[0], "--url", url, "--timeout-s", "0.0001")
    assert done.returncode == 2
    assert "within 0.0001 s" in done.stderr


def test_standard_input(server: Server, jpegs: list[Path], stock_ranks: dict[str, list[int]]) -> None:
    done = subprocess.run(
        [*COMMAND, "classify", "-", "--url", server.grpc_url, "--json"],
        input=jpegs[0].read_bytes(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["top"][0]["class"] == stock_ranks[jpegs[0].name][0]


def test_a_card_that_ranks_gives_ids_and_names_without_scores(
    run: Run, top5_server: Server, sample: Path, jpegs: list[Path], stock_ranks: dict[str, list[int]]
) -> None:
    names = (sample / "labels.txt").read_text().splitlines()
    done = run("classify", *jpegs, "--url", top5_server.grpc_url, "--json", "--top", "5")
    assert done.returncode == 0
    for path, line in zip(jpegs, done.stdout.splitlines(), strict=True):
        answer = json.loads(line)
        assert [candidate["class"] for candidate in answer["top"]] == stock_ranks[path.name][:5]
        assert [candidate["name"] for candidate in answer["top"]] == [names[i] for i in stock_ranks[path.name][:5]]
        assert {candidate["score"] for candidate in answer["top"]} == {None}
        assert answer["margin"] is None
    assert "class names: 1000" in run("doctor", "--url", top5_server.grpc_url).stdout
    done = run("classify", jpegs[0], "--url", top5_server.grpc_url, "--top", "6")
    assert done.returncode == 2
    assert "top 6 was asked for, but TOP5 of model 'classify' ranks only 5 classes" in done.stderr


def test_a_terminal_gets_colour_and_a_bar(server: Server, jpegs: list[Path]) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "classify", *map(str, jpegs), "--url", server.grpc_url]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"}
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "CI"):
        environment.pop(name, None)
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    screen = b""
    while chunk := _read(ours):
        screen += chunk
    assert process.wait(timeout=60) == 0
    assert b"\x1b[1m" in screen  # the bold heading
    assert f"{len(jpegs)}/{len(jpegs)}".encode() in screen  # the bar's count


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says EIO when the other side is gone
        return b""


def test_an_unknown_model_is_named_with_those_there_are(run: Run, url: str, jpegs: list[Path]) -> None:
    done = run("classify", jpegs[0], "--url", url, "--model", "resnet51")
    assert done.returncode == 2
    assert "no model 'resnet51'" in done.stderr
    assert "ready models: classify" in done.stderr


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_no_server_is_said_at_once(run: Run, jpegs: list[Path], protocol: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        done = run("classify", jpegs[0], "--url", address, "--protocol", protocol)
    assert done.returncode == 2
    assert f"{protocol}://{address} is unavailable" in done.stderr
    assert "is the server running" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("protocol", "other"), [("grpc", "http_url"), ("http", "grpc_url")])
def test_the_other_protocols_port_is_suspected(
    run: Run, server: Server, jpegs: list[Path], protocol: str, other: str
) -> None:
    done = run("classify", jpegs[0], "--url", getattr(server, other), "--protocol", protocol)
    assert done.returncode == 2
    assert "is this its port?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["classify"], "PATH"),
        (["classify", "/nowhere/a.jpg"], "no such file or folder: '/nowhere/a.jpg'"),
        (["classify", "a.jpg", "--top", "0"], "at least 1, not 0"),
        (["classify", "/dev/null", "--outfile", "x.txt"], "must end in .csv or .jsonl"),
        (["classify", "/dev/null", "--outfile", "/nowhere/x.csv"], "cannot write '/nowhere/x.csv': No such file"),
        (["accuracy", "/tmp"], "--labels"),
        (["accuracy", "/tmp", "--labels", "x", "--min-top1", "0.9"], "write 90 rather than 0.9"),
        (["accuracy", "/tmp", "--labels", "/nowhere/labels.txt"], "cannot read '/nowhere/labels.txt'"),
    ],
)
def test_wrong_usage_is_explained(run: Run, arguments: list[str], complaint: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [[], ["classify"], ["accuracy"], ["compare"], ["merge"], ["perf-data"], ["doctor"]])
def test_help_teaches(run: Run, command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "examples:\n  resnet50-client" in done.stdout
    assert "exit codes:\n  0 " in done.stdout
    assert "%%" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_a_reader_that_has_seen_enough_is_no_crash(server: Server, jpegs: list[Path]) -> None:
    command = [*COMMAND, "classify", *map(str, jpegs * 20), "--url", server.grpc_url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    assert process.wait(timeout=60) == 1
    process.stderr.close()
