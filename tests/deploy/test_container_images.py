"""The container image, run as deploy/docker/README.md says: locked down, killed at its heart, stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from containers import IMAGES, SOON_S, Container, classify, image, network, note, podman

__all__ = ["image"]
pytestmark = pytest.mark.long
# As in deploy/docker/README.md, but for the network.
LOCKED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp:exec", "--shm-size=128m")


@pytest.fixture
def container(image: str) -> Iterator[Container]:
    """The image with its own command."""
    name = "resnet50-test-image"
    podman("rm", "--force", "--time=0", name, check=False)
    with network() as link:
        begin_s = time.monotonic()
        podman("run", "--detach", f"--name={name}", f"--network=ns:{link.path}", *LOCKED, image)
        container = Container(name, link)
        try:
            container.wait_for(container.health, "healthy")
            note(f"image: healthy {time.monotonic() - begin_s:.1f} s after podman run")
            yield container
        finally:
            podman("rm", "--force", "--time=0", name)


def test_the_image_serves_heals_and_goes(container: Container, sample: Path) -> None:
    container.look()
    assert classify(sample, f"{container.network.address}:8001") == IMAGES
    killed = container.kill_stub()
    down_s = container.wait_for(lambda: not container.health(), "unhealthy")
    up_s = container.wait_for(container.health, "healthy again")
    note(f"image: a model's process killed: unhealthy after {down_s:.1f} s, healthy after {down_s + up_s:.1f} s")
    container.look()
    assert classify(sample, f"{container.network.address}:8001") == IMAGES
    assert "a model's process died: the server is started again" in container.logs()
    assert killed not in container.left()  # collected: nothing of it stays as a zombie

    begin_s = time.monotonic()
    podman("stop", "--time=60", container.name, timeout_s=120)
    note(f"image: stopped in {time.monotonic() - begin_s:.1f} s, {len(container.left())} processes left")
    assert container.inspect()["State"]["ExitCode"] == 0, container.logs()
    assert container.left() == []


def test_it_has_no_rights(container: Container) -> None:
    status = container.exec("cat", "/proc/1/status").stdout
    rights = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert rights["Uid"].split() == ["10001"] * 4
    assert {rights[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert rights["NoNewPrivs"] == "1"
    assert "Read-only file system" in container.exec("touch", "/opt/resnet50-pynq/file").stderr
    size = container.exec("df", "--output=size", "-BM", "/dev/shm").stdout.split()[-1]
    assert size == "128M"


def test_its_packages_are_whole(image: str) -> None:
    """Nothing that the server or its tools import was left out."""
    done = podman("run", "--rm", "--network=none", *LOCKED, image, "doctor", timeout_s=SOON_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (size,) = podman("image", "inspect", "--format={{.Size}}", image).stdout.split()
    note(f"image: {int(size) / 1e6:.0f} MB")
