"""Containers on this machine for the tests: podman, as scripts/setup-containers sets it up, and networks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from deploy_support import CHART, ROOT

SETTINGS = ROOT / "build" / "containers"
REPORT = SETTINGS / "report.txt"
IMAGE = f"localhost/resnet50-pynq:{yaml.safe_load((CHART / 'Chart.yaml').read_text())['appVersion']}"
IMAGES = 96  # of the sample, all of which are classified right
SOON_S = 300.0  # until a state has to be there, however busy the machine is


def environment() -> dict[str, str]:
    """Ours, with podman's settings for this machine."""
    found = {"CONTAINERS_CONF": "containers.conf", "CONTAINERS_STORAGE_CONF": "storage.conf"}
    return {**os.environ, **{name: str(SETTINGS / file) for name, file in found.items()}}


def podman(
    *words: object, check: bool = True, timeout_s: float = 300.0, network: Network | None = None
) -> subprocess.CompletedProcess[str]:
    """Run podman, in a network of the tests; with `check`, fail with what it says."""
    command = [*(["nsenter", f"--net={network.path}"] if network else []), "podman", *map(str, words)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0 or not check, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done


def lacking() -> str:
    """What is missing to run the image, with the next step; "" where nothing is."""
    if os.getuid() != 0:
        return "containers are run as root: make test-images"
    if not shutil.which("podman") or not (SETTINGS / "storage.conf").is_file():
        return "no podman, or not set up: make test-images"
    if podman("image", "exists", IMAGE, check=False).returncode != 0:
        return f"no container image {IMAGE}: make images"
    return ""


@pytest.fixture(scope="session")
def image() -> str:
    """The container image, built by `make images`."""
    if why := lacking():
        pytest.skip(why)
    return IMAGE


def wait_for(state: Callable[[], bool], what: str, timeout_s: float = SOON_S) -> float:
    """Wait until a state is there; returns the seconds that it took."""
    begin_s = time.monotonic()
    while not state():
        assert time.monotonic() - begin_s < timeout_s, f"not {what} after {timeout_s:g} s"
        time.sleep(0.05)
    return time.monotonic() - begin_s


def note(text: str) -> None:
    """Say something in the report that `make test-images` prints at its end."""
    with REPORT.open("a") as report:
        report.write(text + "\n")


@dataclass
class Network:
    """A network namespace for one container or pod.

    Attributes:
        path: of the namespace.
        address: where the container is reached from this machine.
        host: where the container reaches this machine.
    """

    path: str
    address: str
    host: str


def ip(*words: str) -> None:
    """Run ip(8)."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """What -p and a bridge would be: a namespace whose link leads to this machine, so that ports are as documented."""
    number = os.getpid() % 250 + 1
    name, link = f"resnet50-{os.getpid()}", f"rn{os.getpid()}"
    with contextlib.ExitStack() as stack:
        try:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)  # and the link with it
            ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("address", "add", f"10.213.{number}.1/30", "dev", link)
            ip("link", "set", link, "up")
            for words in ("link set lo up", f"address add 10.213.{number}.2/30 dev eth0", "link set eth0 up"):
                ip("-n", name, *words.split())
        except OSError as error:
            pytest.skip(f"no network of its own for a container: {error}")
        yield Network(f"/run/netns/{name}", f"10.213.{number}.2", f"10.213.{number}.1")


@dataclass
class Container:
    """A running container, by its name."""

    name: str
    network: Network
    processes: set[int] = field(default_factory=set)

    def health(self) -> bool:
        """Its health check, once: systemd would run it by its interval, and there need not be one."""
        return podman("healthcheck", "run", self.name, check=False, network=self.network).returncode == 0

    def exec(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program in it, as the kubelet runs a probe."""
        return podman("exec", self.name, *words, check=False, network=self.network)

    def wait_for(self, state: Callable[[], bool], what: str) -> float:
        """Wait until a state of it is there, and fail where it ended first; returns the seconds that it took."""

        def looked() -> bool:
            if state():
                return True
            assert self.inspect()["State"]["Running"], f"ended before it was {what}: {self.logs()[-4000:]}"
            return False

        return wait_for(looked, what)

    def inspect(self) -> dict[str, Any]:
        """What podman knows of it."""
        found: dict[str, Any] = json.loads(podman("container", "inspect", self.name).stdout)[0]
        return found

    def look(self) -> list[psutil.Process]:
        """Its processes, as this machine sees them; those that were ever seen are remembered."""
        first = psutil.Process(self.inspect()["State"]["Pid"])
        found = [first, *first.children(recursive=True)]
        self.processes |= {process.pid for process in found}
        return found

    def left(self) -> list[int]:
        """Which of them are still there."""
        return [pid for pid in self.processes if psutil.pid_exists(pid)]

    def kill_stub(self) -> int:
        """Kill the process of resnet50's model; returns its number."""
        for process in self.look():
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("resnet50_0_0" in word for word in process.cmdline()):
                    process.kill()
                    return process.pid
        raise AssertionError(f"{self.name} has no process of resnet50's model")

    def logs(self) -> str:
        """What it wrote."""
        done = podman("logs", self.name, check=False)
        return done.stdout + done.stderr


def classify(sample: Path, url: str, *options: object) -> int:
    """Classify the sample's images from outside, over gRPC; returns how many of them were right."""
    command = [sys.executable, "-m", "resnet50_client.cli", "accuracy", sample / "images", "--json", "--url", url]
    command += ["--labels", sample / "images" / "labels.txt", *options]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    right = summary["top1"]["hits"]
    assert isinstance(right, int)
    return right
