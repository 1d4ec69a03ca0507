"""The unit of deploy/systemd: what systemd says of it, and the readiness that it waits for."""

from __future__ import annotations

import configparser
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from deploy_support import DEPLOY, ROOT
from resnet50_triton.cli import build_parser
from resnet50_triton.server.notify import notify

UNIT = DEPLOY / "systemd" / "resnet50-pynq.service"
PROGRAM = "/opt/resnet50-pynq/bin/resnet50-pynq"
EXPOSURE = 20  # tenths; systemd calls 0 to 2 "safe" or "OK", and a service without settings has 9.6

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze: apt-get install systemd"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is on this machine."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(PROGRAM, sys.executable))
    return path


def analyze(*words: object) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@needs_systemd
def test_systemd_understands_the_unit(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    assert done.returncode == 0, done.stderr
    unit.write_text(unit.read_text().replace("ProtectClock=yes", "ProtectClocks=yes"))
    assert "ProtectClocks" in analyze("verify", "--man=no", unit).stderr


@needs_systemd
def test_the_service_has_few_rights(unit: Path) -> None:
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE}", unit)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze before 250 cannot read a unit's file")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Overall exposure level for \S+: [\d.]+", done.stdout)


def test_its_command_is_one_of_ours() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    service = parser["Service"]
    options = re.search(r'"OPTIONS=([^"]*)"', service["Environment"])
    assert options
    program, *words = service["ExecStart"].replace("$OPTIONS", options[1]).split()
    assert program == PROGRAM
    assert build_parser().parse_args(words).sample
    assert service["Type"] == "notify"


def test_what_systemctl_is_told_names_the_unit() -> None:
    paths = [*DEPLOY.rglob("*.*"), *(ROOT / "docs").rglob("*.md")]
    named = [re.findall(r"systemctl [a-z -]+ (resnet50[\w-]*)", path.read_text()) for path in paths if path.is_file()]
    assert {name for names in named for name in names} == {UNIT.stem}


@pytest.mark.server
def test_serve_tells_systemd_when_it_is_ready(sample: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.settimeout(300)
        command = [sys.executable, "-m", "resnet50_triton.cli", "serve", f"--sample={sample}", "--free-ports"]
        serve = subprocess.Popen(
            [*command, "--card=timing:0"],
            env={"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": str(tmp_path / "s")},
            stdout=subprocess.DEVNULL,
        )
        try:
            ready = listener.recv(1000).decode()
            serve.terminate()
            ending = listener.recv(1000).decode()
        finally:
            serve.terminate()
            serve.wait(60)
    assert re.fullmatch(r"READY=1\nSTATUS=ready on timing:0, gRPC at 127\.0\.0\.1:\d+", ready)
    assert ending == "STOPPING=1"


def test_without_a_listener_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/socket")
    notify("READY=1")


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"resnet50{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1", "STATUS=fine")
        assert listener.recv(100) == b"READY=1\nSTATUS=fine"
