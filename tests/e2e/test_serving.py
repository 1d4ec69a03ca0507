"""The real tritonserver on the software card: correct answers over both protocols, and faults that stay alone."""

from __future__ import annotations

import io
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from resnet50_triton.decode import decode_image
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.network.reference import top_k
from resnet50_triton.server.process import Server
from resnet50_triton.weights import load_fc_weights
from resnet50_triton.xclbin.kernel_info import read_xclbin
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.server


@pytest.fixture(params=["grpc", "http"])
def triton(request: pytest.FixtureRequest, server: Server) -> Iterator[tuple[Any, Any]]:
    """(module, client) of one protocol"""
    module = {"grpc": tritonclient.grpc, "http": tritonclient.http}[request.param]
    url = {"grpc": server.grpc_url, "http": server.http_url}[request.param]
    with module.InferenceServerClient(url) as client:
        yield module, client


@pytest.fixture(scope="module")
def jpegs(sample: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((sample / "images").glob("*.JPEG"))[:6]]


@pytest.fixture(scope="module")
def expected_logits(sample: Path, jpegs: list[bytes]) -> np.ndarray:
    """The same images through the engine, without card or server."""
    network = Network.from_bytes(read_xclbin(sample / "card.xclbin").network_bytes())
    weights = load_fc_weights(sample / "fcweights.csv")
    return open_engine(network).logits(np.stack([decode_image(data) for data in jpegs]), weights)


def images(module: Any, data: list[bytes]) -> list[Any]:
    tensor = module.InferInput("IMAGE", [len(data), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(data, dtype=object).reshape(-1, 1))
    return [tensor]


def test_jpegs_give_the_networks_logits(triton: Any, jpegs: list[bytes], expected_logits: np.ndarray) -> None:
    module, client = triton
    result = client.infer("classify", images(module, jpegs))
    assert np.array_equal(result.as_numpy("LOGITS"), expected_logits)


def test_pixels_give_the_networks_logits(triton: Any, jpegs: list[bytes], expected_logits: np.ndarray) -> None:
    module, client = triton
    pixels = module.InferInput("PIXELS", [2, 224, 224, 3], "UINT8")
    pixels.set_data_from_numpy(np.stack([decode_image(data) for data in jpegs[:2]]))
    outputs = [module.InferRequestedOutput("LOGITS")]
    result = client.infer("resnet50", [pixels], outputs=outputs)
    assert np.array_equal(result.as_numpy("LOGITS"), expected_logits[:2])


@pytest.mark.parametrize("model", ["classify", "resnet50"])
def test_classification_extension_gives_names(triton: Any, jpegs: list[bytes], sample: Path, model: str) -> None:
    module, client = triton
    names = (sample / "labels.txt").read_text().splitlines()
    if model == "classify":
        inputs = images(module, jpegs[:1])
    else:
        inputs = [module.InferInput("PIXELS", [1, 224, 224, 3], "UINT8")]
        inputs[0].set_data_from_numpy(decode_image(jpegs[0])[None])
    plain = top_k(client.infer(model, inputs).as_numpy("LOGITS"))[0]
    result = client.infer(model, inputs, outputs=[module.InferRequestedOutput("LOGITS", class_count=3)])
    answers = [answer.decode().split(":") for answer in result.as_numpy("LOGITS")[0]]
    assert [int(index) for _, index, _ in answers] == list(plain[:3])
    assert [name for _, _, name in answers] == [names[i] for i in plain[:3]]


def test_a_corrupt_jpeg_among_good_ones_fails_alone(
    server: Server, jpegs: list[bytes], expected_logits: np.ndarray
) -> None:
    corrupt = jpegs[0][: len(jpegs[0]) // 2]
    answers: queue.SimpleQueue[tuple[int, Any, Any]] = queue.SimpleQueue()
    sent = [*jpegs, corrupt, *jpegs]
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        for index, data in enumerate(sent):
            client.async_infer(
                "classify",
                images(tritonclient.grpc, [data]),
                lambda result, error, index=index: answers.put((index, result, error)),
            )
        answered = {index: (result, error) for index, result, error in (answers.get(timeout=60) for _ in sent)}
    _, error = answered.pop(len(jpegs))
    assert isinstance(error, InferenceServerException)
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    assert "damaged" in error.message() or "truncated" in error.message()
    assert len(answered) == 2 * len(jpegs)
    for index, (result, error) in answered.items():
        assert error is None
        assert np.array_equal(result.as_numpy("LOGITS")[0], expected_logits[index % (len(jpegs) + 1)])


def test_a_bad_image_fails_its_own_request(triton: Any, jpegs: list[bytes]) -> None:
    module, client = triton
    with pytest.raises(InferenceServerException, match="image has 0 bytes"):
        client.infer("classify", images(module, [jpegs[0], b""]))


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP"])
def test_other_formats_are_read(triton: Any, jpegs: list[bytes], form: str) -> None:
    module, client = triton
    buffer = io.BytesIO()
    Image.open(io.BytesIO(jpegs[0])).save(buffer, form, **({"lossless": True} if form == "WEBP" else {}))
    same = client.infer("classify", images(module, [jpegs[0], buffer.getvalue()])).as_numpy("LOGITS")
    assert np.array_equal(same[0], same[1])


def test_wrong_pixels_are_refused(triton: Any) -> None:
    module, client = triton
    pixels = module.InferInput("PIXELS", [1, 225, 224, 3], "UINT8")
    pixels.set_data_from_numpy(np.zeros((1, 225, 224, 3), np.uint8))
    with pytest.raises(InferenceServerException, match="unexpected shape"):
        client.infer("resnet50", [pixels])


def test_a_batch_over_the_limit_is_refused(triton: Any) -> None:
    module, client = triton
    with pytest.raises(InferenceServerException, match="batch-size must be <= 128"):
        client.infer("classify", images(module, [b"x"] * 129))
