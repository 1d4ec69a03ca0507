"""A Deployment as something that `podman kube play` (4.3) can run; what podman does not know is named here.

It silently ignores, so that nothing here tests: topologySpreadConstraints, automountServiceAccountToken,
enableServiceLinks, terminationGracePeriodSeconds, seccompProfile (podman has a default of its own), lifecycle.preStop,
imagePullSecrets, startupProbe and readinessProbe. The tests run the probes as the kubelet does, by `podman exec`.
"""

from __future__ import annotations

import contextlib
import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml
from deploy_support import DEPLOY, Document

MODE = "1777"  # what fsGroup would arrange: a user that is not root may write to the volume


def of_kserve() -> Document:
    """The Deployment that KServe would make of our runtime, with what `storageUri` names at /mnt/models."""
    runtime = yaml.safe_load((DEPLOY / "kserve" / "serving-runtime.yaml").read_text())["spec"]
    (served,) = runtime["containers"]
    served["volumeMounts"].append({"name": "models", "mountPath": "/mnt/models", "readOnly": True})
    pod = {"containers": [served], "volumes": [*runtime["volumes"], {"name": "models", "emptyDir": {}}]}
    template = {"metadata": {"labels": {"app": "kserve"}}, "spec": pod}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": {"template": template}}


@contextlib.contextmanager
def playable(deployment: Document, name: str, image: str, folders: dict[str, Path], place: Path) -> Iterator[Path]:
    """Make a Deployment that podman runs.

    Args:
        deployment: as helm or `of_kserve` renders it.
        name: of the pod.
        image: the container image, in the place of one in a registry.
        folders: for each volume that a cluster would bring (claims and Secrets), the folder to mount.
        place: an empty folder, for the manifest and the other volumes.

    Yields:
        The manifest's file.
    """
    document = copy.deepcopy(deployment)
    document["metadata"]["name"] = name
    document["spec"]["replicas"] = 1  # podman runs one
    pod = document["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container["image"], container["imagePullPolicy"] = image, "Never"
    # podman gives a pod no network that others made. So podman itself runs in that network, and the pod shares it:
    # all of its ports are reached.
    pod["hostNetwork"] = True
    del container["ports"]
    for limits in container["resources"].values():
        for resource in [resource for resource in limits if "/" in resource]:
            del limits[resource]  # a device plugin's: there is none
    with contextlib.ExitStack() as stack:
        for volume in pod["volumes"]:
            folder = folders.get(volume["name"], place / volume["name"])
            if size := volume.pop("emptyDir", {}).get("sizeLimit"):
                stack.enter_context(_tmpfs(folder, size))
            name = volume["name"]
            volume.clear()
            volume |= {"name": name, "hostPath": {"path": str(folder), "type": "Directory"}}
        path = place / "pod.yaml"
        path.write_text(yaml.safe_dump(document))
        yield path


@contextlib.contextmanager
def _tmpfs(folder: Path, size: str) -> Iterator[None]:
    """A volume in memory: podman's own emptyDir knows no fsGroup and no sizeLimit, and user 10001 cannot write."""
    folder.mkdir()
    options = f"mode={MODE},size={size.replace('i', '')}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "resnet50-test", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
