"""What a cluster would bring to the chart's pod: its claims, its Secrets, its object store."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

import pytest
import trustme
from containers import SETTINGS, Network, podman, wait_for
from deploy_support import Document, container, of_kind
from resnet50_triton.server.deploy import Deployment, write_repository

MOTO = SETTINGS / "s3" / "bin" / "moto_server"
_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class Cluster:
    """Everything that the manifests ask of their cluster; a context manager that takes it away again.

    Attributes:
        values: settings of the chart that have to differ here.
        changed: which those are and why, in words.
        folders: the content of each volume of the pod that is not an emptyDir.
        options: how the client calls.
        scheme: what stands before the address that it calls.
    """

    def __init__(self, documents: list[Document], link: Network, sample: Path, folder: Path) -> None:
        self.values: list[str] = []
        self.changed = ""
        self.folders: dict[str, Path] = {}
        self.options: list[object] = []
        self.scheme = ""
        self._link, self._sample, self._folder = link, sample, folder
        self._stack = contextlib.ExitStack()
        volumes = [volume["name"] for volume in of_kind(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]]
        arguments = container(documents)["args"]
        if any(word.startswith("--card=xrt") for word in arguments):
            self.values = ["--set=card.name=software:0", "--set=card.resource="]
            self.changed = "the software card in the place of an Alveo"
        with self._stack:
            for name in ("models", "tls", "admin"):
                if name in volumes:
                    self.folders[name] = folder / name
                    self.folders[name].mkdir()
                    getattr(self, f"_fill_{name}")(self.folders[name], arguments)
            if any(word.startswith("--model-repository=s3:") for word in arguments):
                self._store(container(documents)["envFrom"][0]["secretRef"]["name"])
            for path in [path for each in self.folders.values() for path in each.rglob("*") if path.is_file()]:
                path.chmod(0o644)  # the fsGroup of a Secret would let user 10001 read it
            self._stack = self._stack.pop_all()

    def _fill_models(self, folder: Path, arguments: list[str]) -> None:
        """The repository or the files that the arguments name, with the sample's content."""
        if any(word.startswith("--model-repository=/") for word in arguments):
            write_repository(folder, Deployment.of_sample(self._sample))
        content = {"--xclbin": "card.xclbin", "--fcweights": "fcweights.csv", "--labels": "labels.txt"}
        for option, _, path in (word.partition("=") for word in arguments):
            if option in content:
                shutil.copy(self._sample / content[option], folder / Path(path).name)

    def _fill_tls(self, folder: Path, _: list[str]) -> None:
        """A server's certificate as cert-manager makes it, and a client's."""
        authority = trustme.CA()
        for name, target in ((self._link.address, folder / "tls"), ("client", self._folder / "client")):
            issued = authority.issue_cert(name)
            issued.cert_chain_pems[0].write_to_path(str(target.with_suffix(".crt")))
            issued.private_key_pem.write_to_path(str(target.with_suffix(".key")))
        authority.cert_pem.write_to_path(str(folder / "ca.crt"))
        self.scheme = "grpcs://"
        client = self._folder / "client"
        self.options = ["--tls-ca", folder / "ca.crt", "--tls-cert", f"{client}.crt", "--tls-key", f"{client}.key"]

    def _fill_admin(self, folder: Path, _: list[str]) -> None:
        (folder / "admin-key").write_text("0123456789abcdef" * 4)

    def _store(self, secret: str) -> None:
        """An object store with a repository of the sample in it, and the Secret with its credentials."""
        if not MOTO.is_file():
            pytest.skip("no object store: make test-images installs one (moto)")
        with socket.create_server((self._link.host, 0)) as free:
            port = free.getsockname()[1]
        address = f"http://{self._link.host}:{port}"
        store = subprocess.Popen(
            [MOTO, "-H", self._link.host, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._stack.callback(store.wait)
        self._stack.callback(store.kill)
        wait_for(lambda: _put(f"{address}/models"), "an object store that takes a bucket")
        repository = self._folder / "repository"
        write_repository(repository, Deployment.of_sample(self._sample), is_for_object_store=True)
        for path in repository.rglob("*"):
            if path.is_file():
                assert _put(f"{address}/models/0001/{path.relative_to(repository)}", path.read_bytes())
        self.values.append(f"--set=model.repository=s3://{address}/models/0001")
        self.changed = "moto's S3 on this machine in the place of Amazon's"
        credentials = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in credentials.items()}
        path = self._folder / "secret.json"
        path.write_text(json.dumps(data))  # what podman 4.3 reads; later ones take the Secret's manifest, too
        podman("secret", "rm", secret, check=False)
        podman("secret", "create", secret, path)
        self._stack.callback(podman, "secret", "rm", secret, check=False)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _put(url: str, content: bytes = b"") -> bool:
    """Store an object, or make a bucket; whether that worked."""
    headers = {"Authorization": "AWS a:b", "Content-Type": "application/octet-stream"}  # urllib's own means a form
    request = urllib.request.Request(url, data=content, method="PUT", headers=headers)
    try:
        with _open(request, timeout=60) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False
