"""What NVIDIA's example clients ask of a model, and what any client may request, with the stock library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from servers import running
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The sample with PIXELS in R, G, B, and with PROVENANCE switched on beside it."""
    folder = tmp_path_factory.mktemp("stock")
    parameters = {"resnet50": {"channel_order": "RGB"}}
    repository = Deployment(*Deployment.files_of_sample(sample), parameters=parameters).make_repository(folder / "m")
    with running(repository) as server:
        yield server


@pytest.fixture(scope="module")
def pictures(sample: Path) -> list[tuple[Path, int]]:
    """Files of the sample with their classes, one of each class."""
    labels = dict(line.split() for line in (sample / "images" / "labels.txt").read_text().splitlines())
    by_class = {int(label): sample / "images" / name for name, label in labels.items()}
    return [(path, label) for label, path in sorted(by_class.items())][:8]


def image_clients_model(client: Any) -> tuple[str, str, str, np.dtype]:
    """What image_client.py demands of a model's metadata and configuration, and takes from them."""
    metadata = client.get_model_metadata("resnet50")
    config = client.get_model_config("resnet50").config
    assert len(metadata.inputs) == 1
    assert len(metadata.outputs) == 1
    assert len(config.input) == 1
    (output,) = metadata.outputs
    assert output.datatype == "FP32"
    shape = list(output.shape)[config.max_batch_size > 0 :]
    assert sum(dim > 1 for dim in shape) == 1  # a vector
    (tensor,) = metadata.inputs
    assert len(tensor.shape) == 3 + (config.max_batch_size > 0)
    assert config.input[0].format == model_config_pb2.ModelInput.FORMAT_NHWC
    assert list(tensor.shape)[-3:] == [224, 224, 3]
    return tensor.name, output.name, tensor.datatype, np.dtype(triton_to_np_dtype(tensor.datatype))


def test_image_client(server: Server, pictures: list[tuple[Path, int]]) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        input_name, output_name, datatype, dtype = image_clients_model(client)
        right = 0
        for path, label in pictures:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)).astype(dtype)
            tensor = tritonclient.grpc.InferInput(input_name, [1, *pixels.shape], datatype)
            tensor.set_data_from_numpy(pixels[None])
            wanted = tritonclient.grpc.InferRequestedOutput(output_name, class_count=1)
            (answer,) = client.infer("resnet50", [tensor], outputs=[wanted]).as_numpy(output_name)[0]
            right += int(answer.decode().split(":")[1]) == label
    assert right >= 7


def test_ensemble_image_client(server: Server, pictures: list[tuple[Path, int]]) -> None:
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        metadata = client.get_model_metadata("classify")
        (tensor,), (output,) = metadata.inputs, metadata.outputs
        data = np.array([path.read_bytes() for path, _ in pictures], dtype=object).reshape(-1, 1)
        encoded = tritonclient.grpc.InferInput(tensor.name, list(data.shape), tensor.datatype)
        encoded.set_data_from_numpy(data)
        wanted = tritonclient.grpc.InferRequestedOutput(output.name, class_count=1)
        answers = client.infer("classify", [encoded], outputs=[wanted]).as_numpy(output.name)
    ids = [int(answer[0].decode().split(":")[1]) for answer in answers]
    assert sum(found == label for found, (_, label) in zip(ids, pictures, strict=True)) >= 7


@pytest.mark.parametrize("module", [tritonclient.grpc, tritonclient.http], ids=["grpc", "http"])
def test_classification_of_every_output_leaves_the_server_up(
    server: Server, sample: Path, pictures: list[tuple[Path, int]], tmp_path: Path, module: Any
) -> None:
    parameters = {"resnet50": {"provenance": "on"}}
    deployment = Deployment(*Deployment.files_of_sample(sample), parameters=parameters)
    inputs = {
        "IMAGE": ([1, 1], "BYTES", np.array([[pictures[0][0].read_bytes()]], dtype=object)),
        "PIXELS": ([1, 224, 224, 3], "UINT8", np.zeros((1, 224, 224, 3), np.uint8)),
    }
    asked = []
    with running(deployment.make_repository(tmp_path / "models")) as with_provenance:
        for one in (server, with_provenance):
            url = one.grpc_url if module is tritonclient.grpc else one.http_url
            with module.InferenceServerClient(url) as client:
                for model in ("preprocess", "resnet50", "classify"):
                    metadata = client.get_model_metadata(model)
                    described = metadata if isinstance(metadata, dict) else tritonclient_json(client, model)
                    shape, datatype, data = inputs[described["inputs"][0]["name"]]
                    tensor = module.InferInput(described["inputs"][0]["name"], shape, datatype)
                    tensor.set_data_from_numpy(data)
                    for output in described["outputs"]:
                        assert output["datatype"] != "BYTES"
                        wanted = module.InferRequestedOutput(output["name"], class_count=3)
                        asked.append((model, output["name"]))
                        with contextlib.suppress(InferenceServerException):  # that of a number that is no score
                            client.infer(model, [tensor], outputs=[wanted])
                        assert client.is_server_ready()
    assert ("resnet50", "PROVENANCE") in asked
    assert ("classify", "LOGITS") in asked


def tritonclient_json(client: Any, model: str) -> dict[str, Any]:
    """A model's metadata over gRPC, as HTTP gives it."""
    return client.get_model_metadata(model, as_json=True)
