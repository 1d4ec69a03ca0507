"""Servers of their own: load errors, the top-5 kernel, the trained network, and what is left behind."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc
from google.protobuf import text_format
from resnet50_triton.errors import ServerNotFound
from resnet50_triton.network.parameters import Network
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin
from servers import running
from tritonclient.grpc import model_config_pb2

pytestmark = pytest.mark.server


def classify(server: Server, data: list[bytes]) -> np.ndarray:
    """The five best classes of each image, from the ensemble."""
    tensor = tritonclient.grpc.InferInput("IMAGE", [len(data), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(data, dtype=object).reshape(-1, 1))
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        result = client.infer("classify", [tensor])
    top5 = result.as_numpy("TOP5")
    return np.argsort(-result.as_numpy("LOGITS"), axis=1, kind="stable")[:, :5] if top5 is None else top5


def test_a_bad_deployment_ends_with_its_reason(sample: Path, tmp_path: Path) -> None:
    repository = Deployment.of_sample(sample).make_repository(tmp_path / "models")
    path = repository / "resnet50" / "config.pbtxt"
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    config.parameters["xclbn"].string_value = "x"
    path.write_text(text_format.MessageToString(config))
    with (
        Server(repository) as server,
        pytest.raises(ServerNotFound, match=r"unknown parameter 'xclbn'.*\n?.*did you m"),
    ):
        server.wait_ready()


def test_a_model_that_cannot_load_is_told_in_its_own_words(sample: Path, tmp_path: Path) -> None:
    deployment = Deployment.of_sample(sample)
    bad = tmp_path / "fcweights.npy"
    bad.write_bytes(bytes(100))
    repository = Deployment(deployment.xclbin, bad).make_repository(tmp_path / "models")
    with Server(repository) as server:
        with pytest.raises(ServerNotFound, match=r"not a \.npy file") as caught:
            server.wait_ready()
        begin_s = time.monotonic()
    assert time.monotonic() - begin_s < 20  # nothing is in flight, so nothing is waited for
    assert len(str(caught.value).splitlines()) == 2


def test_the_top5_kernel_declares_top5_alone(sample: Path, tmp_path: Path) -> None:
    network = Network.from_bytes(read_xclbin(sample / "card.xclbin").network_bytes())
    write_xclbin(tmp_path / "top5.xclbin", network, "top5")
    deployment = Deployment(tmp_path / "top5.xclbin", sample / "fcweights.csv")
    labels = dict(line.split() for line in (sample / "images" / "labels.txt").read_text().splitlines())
    with running(deployment.make_repository(tmp_path / "models")) as server:
        with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
            for model, outputs in (("resnet50", ["TOP5"]), ("classify", ["TOP5"])):
                metadata = client.get_model_metadata(model, as_json=True)
                assert [output["name"] for output in metadata["outputs"]] == outputs
        top5 = classify(server, [(sample / "images" / name).read_bytes() for name in labels])
    right = sum(int(label) == ids[0] for label, ids in zip(labels.values(), top5, strict=True))
    assert right >= 0.9 * len(labels)


def test_the_photos_with_the_trained_network(shared_data: Path, shared_photos: Path, tmp_path: Path) -> None:
    write_xclbin(tmp_path / "card.xclbin", Network.load(shared_data / "resnet50_w1a2_v1.npz"), "logits")
    names = shared_data / "imagenet_classes.txt"
    deployment = Deployment(tmp_path / "card.xclbin", shared_data / "fcweights.csv", names)
    labels = dict(line.rsplit(" ", 1) for line in (shared_photos / "labels.txt").read_text().splitlines())
    with running(deployment.make_repository(tmp_path / "models")) as server:
        top5 = classify(server, [(shared_photos / name).read_bytes() for name in labels])
    right = sum(int(label) == ids[0] for label, ids in zip(labels.values(), top5, strict=True))
    assert len(labels) == 50
    assert right >= 48


def left(server: Server) -> list[Path]:
    """What of this server lies in the machine's temporary places."""
    scratch = server.scratch
    return [
        *scratch.folder.parent.glob(f"*{scratch.folder.name}"),
        *Path("/dev/shm").glob(f"{scratch.shm_prefix[:-1]}*"),
    ]


def test_nothing_is_left_behind(sample: Path, tmp_path: Path) -> None:
    with Server(Deployment.of_sample(sample).make_repository(tmp_path / "models")) as server:
        server.wait_ready()
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children  # the stubs
        assert left(server)
    assert server.process.returncode == 0
    _, alive = psutil.wait_procs(children, timeout=60)  # dead ones are there until they are collected
    assert not alive
    assert left(server) == []


def test_a_killed_server_leaves_nothing_either(sample: Path, tmp_path: Path) -> None:
    with Server(Deployment.of_sample(sample).make_repository(tmp_path / "models")) as server:
        server.wait_ready()
        stubs = psutil.Process(server.process.pid).children(recursive=True)
        server.kill()
        assert any(stub.is_running() for stub in stubs)  # Triton does not end them
    _, alive = psutil.wait_procs(stubs, timeout=10)
    assert not alive
    assert left(server) == []


def test_a_repository_without_models_is_refused(tmp_path: Path, sample: Path) -> None:
    shutil.copytree(
        Path(__file__).resolve().parents[2] / "model_repository" / "classify", tmp_path / "source" / "classify"
    )
    with pytest.raises(Exception, match="no model 'resnet50' in the repository"):
        replace(Deployment.of_sample(sample), models=tmp_path / "source").make_repository(tmp_path / "models")
