"""A small fleet under load: a kill and an upgrade, and nothing lost or wrong. `make fleet` is the whole of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def fleets() -> set[int]:
    """The processes of all fleets on this machine: each has its folder in its command line."""
    found = psutil.process_iter(["cmdline"])
    return {p.pid for p in found if any("/resnet50-fleet-" in word for word in p.info["cmdline"] or ())}


@pytest.mark.long
@pytest.mark.server
@pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed (Debian: apt-get install haproxy)")
def test_a_kill_and_an_upgrade_under_load(sample: Path, tmp_path: Path) -> None:
    before = fleets()
    output = tmp_path / "fleet.json"
    command = [
        sys.executable,
        "-m",
        "chaos.fleet",
        "--sample",
        sample,
        "--output",
        output,
        "--replicas",
        "2",
        "--steady-s",
        "3",
    ]
    options = ["--kill", "resnet50", "--upgrades", "1", "--settle-s", "1", "--concurrency", "8"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "deploy" / "haproxy"), str(ROOT)])
    }
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, timeout=240, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_text())
    assert result["lost"] == result["wrong"] == 0
    assert result["sent"] == result["answered"] > 100
    killed, upgraded, after = (result["phases"][t] for t in ("kill -9 resnet50 of card1", "upgrade card1", "after"))
    assert sum(killed["sent_again"].values()) > 0  # it was under load
    assert upgraded["sent_again"]["balanced"] == 0  # a drained replica has nothing to lose
    assert {"old", "new"} <= set(after["answered_by_xclbin"])
    assert fleets() <= before
