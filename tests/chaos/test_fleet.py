"""Small fleets under load: kills, upgrades, cables with faults; nothing lost or wrong. `make fleet` has more."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


pytestmark = [
    pytest.mark.long,
    pytest.mark.server,
    pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed (Debian: apt-get install haproxy)"),
]


def fleets() -> set[int]:
    """The processes of all fleets on this machine: each has its folder in its command line."""
    found = psutil.process_iter(["cmdline"])
    return {p.pid for p in found if any("/resnet50-fleet-" in word for word in p.info["cmdline"] or ())}


def namespaces() -> set[str]:
    done = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return {line for line in done.stdout.splitlines() if line.startswith("resnet50-")}


def run(sample: Path, output: Path, *options: str) -> dict[str, Any]:
    """A fleet of two; its figures, after it has lost nothing, and left no process."""
    before = fleets()
    few: list[str | Path] = ["--sample", sample, "--output", output, "--replicas", "2", "--steady-s", "3"]
    few += ["--settle-s", "1", "--concurrency", "8"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "deploy" / "haproxy"), str(ROOT)])
    }
    command = [sys.executable, "-m", "chaos.fleet", *few, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(output.read_text())
    assert result["lost"] == result["wrong"] == 0
    assert result["sent"] == result["answered"] > 100
    assert fleets() <= before
    return result


def test_a_kill_and_an_upgrade_under_load(sample: Path, tmp_path: Path) -> None:
    result = run(sample, tmp_path / "fleet.json", "--kill", "resnet50", "--upgrades", "1")
    killed, upgraded, after = (
        result["phases"][title] for title in ("kill -9 resnet50 of card1", "new xclbin: card1", "after")
    )
    assert sum(killed["sent_again"].values()) > 0  # it was under load
    assert upgraded["sent_again"]["balanced"] == 0  # a drained replica has nothing to lose
    assert {"old", "new"} <= set(after["answered_by_xclbin"])


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not Path("/dev/net/tun").exists(),
    reason="network namespaces need root, /dev/net/tun and ip (Debian: apt-get install iproute2)",
)
def test_cables_that_lose_frames_and_are_unplugged(sample: Path, tmp_path: Path) -> None:
    before = namespaces()
    result = run(sample, tmp_path / "fleet.json", "--namespaces", "--kill", "--upgrades", "0", "--away-s", "5")
    phases = {title: figures for title, figures in result["phases"].items() if "cable" in title}
    assert len(phases) == 3
    assert all(figures["images_per_s_in_all"] > 0 for figures in phases.values())
    assert namespaces() <= before


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout, of which two versions are built")
def test_new_software_under_load(sample: Path, tmp_path: Path) -> None:
    result = run(sample, tmp_path / "fleet.json", "--software", "HEAD", "--kill", "--upgrades", "0")
    assert [version.partition("+")[2] for version in result["software"]] == ["old", "new"]
    upgrades = [figures for title, figures in result["phases"].items() if title.startswith("new software")]
    assert len(upgrades) == 2
    assert all(figures["sent_again"]["balanced"] == 0 for figures in upgrades)
