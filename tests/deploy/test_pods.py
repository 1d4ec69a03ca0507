"""The chart's pod with each file of values, and KServe's, run by podman: probes, and answers to a client outside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster import Cluster
from containers import IMAGES, Container, classify, image, network, note, podman
from deploy_support import VALUES, Document, container, needs_tools, of_kind, render
from kube_play import of_kserve, playable

__all__ = ["image"]
pytestmark = [pytest.mark.long, needs_tools]
NAMED: dict[str, Path | None] = {"defaults": None} | {path.stem: path for path in VALUES}


@dataclass
class Pod:
    """A pod that podman runs."""

    container: Container
    manifest: Document
    cluster: Cluster

    def probe(self, name: str) -> bool:
        """Run one of its probes as the kubelet does."""
        return self.container.exec(*self.manifest[name]["exec"]["command"]).returncode == 0


@pytest.fixture(params=[*NAMED, "kserve"])
def pod(request: pytest.FixtureRequest, image: str, sample: Path, tmp_path: Path) -> Iterator[Pod]:
    """The pod, started."""

    def manifests(*more: str) -> list[Document]:
        if request.param == "kserve":
            return [of_kserve()]
        values = NAMED[request.param]
        return render("--set=image.repository=x", *(["-f", str(values)] if values else []), *more)

    name = f"resnet50-test-{request.param}"
    place = tmp_path / "pod"
    place.mkdir()
    with network() as link, Cluster(manifests(), link, sample, tmp_path) as cluster, contextlib.ExitStack() as stack:
        documents = manifests(*cluster.values)
        deployment = of_kind(documents, "Deployment")
        path = stack.enter_context(playable(deployment, name, image, cluster.folders, place))
        try:
            begin_s = time.monotonic()
            podman("kube", "play", path, network=link)
            (running,) = podman("ps", "--format={{.Names}}", f"--filter=name={name}-pod-0-").stdout.split()
            found = Pod(Container(running, link), container(documents), cluster)
            found.container.wait_for(lambda: found.probe("startupProbe"), "started")
            changed = f" ({cluster.changed})" if cluster.changed else ""
            note(f"pod, {request.param}{changed}: ready {time.monotonic() - begin_s:.1f} s after podman kube play")
            yield found
        finally:
            podman("kube", "down", path)


def test_the_pod_answers(pod: Pod, sample: Path) -> None:
    assert all(pod.probe(name) for name in ("startupProbe", "readinessProbe", "livenessProbe"))
    ports = {port["name"]: port["containerPort"] for port in pod.manifest["ports"]}
    address = f"{pod.cluster.scheme}{pod.container.network.address}:{ports.get('grpc') or ports['h2c']}"
    assert classify(sample, address, *pod.cluster.options) == IMAGES
    pod.container.look()
    podman("stop", "--time=60", pod.container.name, timeout_s=120)
    assert pod.container.inspect()["State"]["ExitCode"] == 0, pod.container.logs()
    assert pod.container.left() == []
