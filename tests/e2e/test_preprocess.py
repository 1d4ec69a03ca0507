"""`preprocess` and `classify` in the real server: every kind of file, hostile bytes, slow images, back-pressure."""

from __future__ import annotations

import re
import shutil
import struct
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from fuzz.corpus import bombs, encode, images, others, picture
from PIL import Image
from resnet50_triton.decode import DecodeOptions, decode_image
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.server.repository import set_outputs
from resnet50_triton.tensors import TOP5
from servers import running
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.server
FILES = images()
# Decoded in tenths of a second and more, though it is small: 64 million pixels of which none differs.
SLOW = encode(Image.new("RGB", (8000, 8000)), "PNG")


def inputs(data: list[bytes]) -> list[Any]:
    tensor = triton.InferInput("IMAGE", [len(data), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(data, dtype=object).reshape(-1, 1))
    return [tensor]


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_url) as connected:
        yield connected


def test_every_kind_of_file_gives_the_pixels_of_decode_image(client: Any) -> None:
    pixels = client.infer("preprocess", inputs(list(FILES.values()))).as_numpy("PIXELS")
    for kind, row in zip(FILES, pixels, strict=True):
        assert np.array_equal(row, decode_image(FILES[kind])), kind


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "image has 0 bytes"),
        (b"\xff", "is not an image that can be read"),
        (b"\xff\xd8\xff" + bytes(200_000_000), "image has 200000003 bytes, the limit is 33554432"),
        (png_header(60000, 60000), "image is 60000x60000 pixels, 3600000000 in all; the limit is 64000000"),
        (others()["tar"], "is not an image that can be read: send one of JPEG, PNG, WEBP, BMP, GIF"),
    ],
    ids=["0 bytes", "1 byte", "200 MB", "60000x60000", "tar"],
)
def test_hostile_bytes_get_a_clear_answer(client: Any, server: Server, data: bytes, words: str) -> None:
    with pytest.raises(InferenceServerException, match=re.escape(words)) as caught:
        client.infer("classify", inputs([data]))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert server.is_ready()
    assert client.infer("classify", inputs([FILES["jpeg 4:2:0"]])).as_numpy("LOGITS").shape == (1, 1000)


def wait_for(answers: Any, count: int) -> None:
    """Wait until so many answers are there; closing the client would cancel the others."""
    deadline = time.monotonic() + 60
    while len(answers) < count and time.monotonic() < deadline:
        time.sleep(0.02)


VARIANTS = {
    "hasty": {"max_decode_s": "0.3"},
    "lenient": {"mode": "center_crop", "truncated": "accept", "max_pixels": "5000"},
}


@pytest.fixture(scope="module")
def variants(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a server that has `preprocess` alone, once for each of VARIANTS."""
    source = Deployment.of_sample(sample).make_repository(tmp_path_factory.mktemp("whole") / "models") / "preprocess"
    repository = tmp_path_factory.mktemp("variants")
    for variant, parameters in VARIANTS.items():
        config = shutil.copytree(source, repository / variant) / "config.pbtxt"
        text = config.read_text().replace('name: "preprocess"', f'name: "{variant}"', 1)
        for name, value in parameters.items():
            pattern = re.compile(rf'(key: "{name}"\s+value\s*{{\s*string_value: )"[^"]*"')
            assert pattern.search(text), name
            text = pattern.sub(rf'\1"{value}"', text)
        config.write_text(text)
    with running(repository) as server, triton.InferenceServerClient(server.grpc_url) as connected:
        yield connected


def test_a_slow_image_is_refused_in_time_and_holds_nobody_up(variants: Any) -> None:
    answers: dict[str, tuple[float, Any]] = {}
    start = time.monotonic()

    def done(name: str) -> Any:
        return lambda result, error: answers.setdefault(name, (time.monotonic() - start, error or result))

    variants.async_infer("hasty", inputs([SLOW]), done("slow"))
    variants.async_infer("hasty", inputs([FILES["png RGB"]]), done("fast"))
    wait_for(answers, 2)
    error = answers["slow"][1]
    assert isinstance(error, InferenceServerException)
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    assert "was not decoded within 0.3 s, the limit" in error.message()
    start = time.monotonic()
    decode_image(SLOW)
    # In a batch with the slow one, or in the next: the slow one is not decoded to its end before.
    assert answers["fast"][0] < time.monotonic() - start
    assert np.array_equal(answers["fast"][1].as_numpy("PIXELS")[0], decode_image(FILES["png RGB"]))


def test_parameters_reach_the_decoder(variants: Any) -> None:
    cut = FILES["jpeg 4:4:4"][:-300]
    pixels = variants.infer("lenient", inputs([cut])).as_numpy("PIXELS")[0]
    options = DecodeOptions(mode="center_crop", accept_truncated=True)
    assert np.array_equal(pixels, decode_image(cut, options=options))
    with pytest.raises(InferenceServerException, match="the limit is 5000"):
        variants.infer("lenient", inputs([encode(Image.new("RGB", (100, 51)), "PNG")]))


SLOW_CARD = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.01 * len(requests))
        answer = [pb_utils.Tensor("TOP5", np.zeros((1, 5), np.int32))]
        return [pb_utils.InferenceResponse(answer) for _ in requests]
"""


def test_decoding_waits_for_a_slow_card(sample: Path, tmp_path: Path) -> None:
    """The card's queue stays short, the others wait undecoded, what exceeds that queue is refused, and none is lost."""
    source = Deployment.of_sample(sample).make_repository(tmp_path / "source")
    slow_card(source)
    for config in source.glob("*/config.pbtxt"):
        config.write_text(re.sub(r"max_batch_size: 128", "max_batch_size: 8", config.read_text()))
    text = (source / "preprocess" / "config.pbtxt").read_text()
    text = re.sub(r'("max_inflight_requests"\s+value\s*{\s*string_value: )"256"', r'\1"8"', text)
    text = re.sub(r'("max_waiting_requests"\s+value\s*{\s*string_value: )"1024"', r'\1"100"', text)
    (source / "preprocess" / "config.pbtxt").write_text(text)
    answers: list[Any] = []
    most = 0
    with running(source) as server:
        over = threading.Event()

        def watch() -> None:
            nonlocal most
            while not over.wait(0.02):
                with urllib.request.urlopen(f"http://{server.metrics_url}/metrics") as page:
                    found = re.search(
                        r'nv_inference_pending_request_count{model="resnet50",.*} (\d+)', page.read().decode()
                    )
                    most = max(most, int(found[1]) if found else 0)

        watcher = threading.Thread(target=watch)
        watcher.start()
        with triton.InferenceServerClient(server.grpc_url) as client:
            for _ in range(300):
                client.async_infer(
                    "classify", inputs([FILES["gif"]]), lambda result, error: answers.append(error or result)
                )
            wait_for(answers, 300)
        over.set()
        watcher.join()
    refused = [answer for answer in answers if isinstance(answer, InferenceServerException)]
    assert len(answers) == 300
    assert refused
    assert {answer.status() for answer in refused} == {"StatusCode.UNAVAILABLE"}
    assert "requests of" in refused[0].message()
    assert "the limits are 100 requests and 1073741824 bytes" in refused[0].message()
    assert len(refused) <= 300 - 100
    assert 4 <= most <= 16


def test_who_waits_for_a_slow_card_is_told_when_its_timeout_passes(sample: Path, tmp_path: Path) -> None:
    """Not when it is its turn; and what was cancelled meanwhile is not decoded."""
    source = Deployment.of_sample(sample).make_repository(tmp_path / "source")
    slow_card(source)
    config = source / "preprocess" / "config.pbtxt"
    text = re.sub(r'("max_inflight_requests"\s+value\s*{\s*string_value: )"256"', r'\1"4"', config.read_text())
    config.write_text(text)
    answers: list[Any] = []
    late: list[tuple[float, Any]] = []
    with running(source) as server, triton.InferenceServerClient(server.grpc_url) as client:
        image = inputs([FILES["gif"]])
        for _ in range(300):  # 3 s of the card's time
            client.async_infer("classify", image, lambda result, error: answers.append(error or result))
        start = time.monotonic()
        for _ in range(20):
            client.async_infer(
                "classify",
                image,
                lambda result, error: late.append((time.monotonic() - start, error or result)),
                timeout=300_000,
            )
        wait_for(late, 20)
        wait_for(answers, 300)
    assert not [answer for answer in answers if isinstance(answer, InferenceServerException)]
    assert len(late) == 20
    for waited_s, error in late:
        assert isinstance(error, InferenceServerException), waited_s
        assert error.status() == "StatusCode.UNAVAILABLE"
        assert "timeout of 0.3 s passed while it waited to be decoded" in error.message()
    assert min(waited_s for waited_s, _ in late) >= 0.3
    assert max(waited_s for waited_s, _ in late) < 2


GOOD = FILES["jpeg 4:2:0"]
LIES = {
    "one byte too many": struct.pack("<I", len(GOOD) + 1) + GOOD,
    "far too many": struct.pack("<I", 1 << 31) + GOOD,
    "no whole prefix": b"abc",
    "nothing": b"",
    "two for one": (struct.pack("<I", len(GOOD)) + GOOD) * 2,
    "bytes left over": struct.pack("<I", len(GOOD) - 1) + GOOD,
}


def test_who_lies_about_a_length_is_refused_alone(sample: Path, tmp_path: Path) -> None:
    """Other clients' requests are answered rightly meanwhile, and the server ends as it would have."""
    repository = Deployment.of_sample(sample).make_repository(tmp_path / "models")
    with Server(repository) as server:
        server.wait_ready()
        over, refused, answers = threading.Event(), dict.fromkeys(LIES, 0), []

        def lie() -> None:
            with grpc.insecure_channel(server.grpc_url) as channel:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                while not over.is_set():
                    for name, content in LIES.items():
                        request = service_pb2.ModelInferRequest(model_name="classify")
                        request.inputs.add(name="IMAGE", datatype="BYTES", shape=[1, 1])
                        request.raw_input_contents.append(content)
                        with pytest.raises(grpc.RpcError) as caught:
                            stub.ModelInfer(request, timeout=60)
                        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, name
                        refused[name] += 1

        def ask() -> None:
            with triton.InferenceServerClient(server.grpc_url) as client:
                for _ in range(60):
                    try:
                        answers.append(client.infer("preprocess", inputs([GOOD]), client_timeout=60).as_numpy("PIXELS"))
                    except InferenceServerException as error:
                        answers.append(error)

        neighbours = [threading.Thread(target=ask) for _ in range(6)]
        liars = [threading.Thread(target=lie) for _ in range(2)]
        for thread in (*neighbours, *liars):
            thread.start()
        for thread in neighbours:
            thread.join()
        over.set()
        for thread in liars:
            thread.join()
        assert not [answer for answer in answers if isinstance(answer, InferenceServerException)]
        right = decode_image(GOOD)
        assert all(np.array_equal(answer[0], right) for answer in answers)
        assert len(answers) == 360
        assert all(refused.values())
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 15  # 2 to 3 s; 30 s where Triton waits for what was refused


def test_costly_images_hold_up_nobody(client: Any) -> None:
    """Two for each of the two workers: a request beside them is answered within a second or so, and they in the end."""
    costly = [bombs()[kind] for kind in ("jpeg of many scans", "png of small chunks", "bmp of runs of one")]
    costly.append(bombs()["jpeg of far too many scans"])
    answers: list[Any] = []
    client.infer("preprocess", inputs([FILES["png RGB"]]))
    for data in costly:
        client.async_infer("classify", inputs([data]), lambda result, error: answers.append(error or result))
    start = time.monotonic()
    for kind in ("jpeg 4:2:0", "png RGB", "webp"):
        assert np.array_equal(
            client.infer("preprocess", inputs([FILES[kind]])).as_numpy("PIXELS")[0], decode_image(FILES[kind])
        )
    assert time.monotonic() - start < 20
    wait_for(answers, 4)
    assert any("more than 100 scans" in str(answer) for answer in answers)


def test_what_was_cancelled_while_it_waited_is_not_decoded(client: Any, server: Server) -> None:
    def metric(name: str) -> float:
        with urllib.request.urlopen(f"http://{server.metrics_url}/metrics") as page:
            found = re.search(rf"^{name} (\S+)$", page.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    cancelled = r'resnet50_refused_total{code="CANCELLED",model="preprocess",.*}'
    before = metric(cancelled)
    large = inputs([encode(picture().resize((4000, 3000)), "JPEG")])
    deadline = time.monotonic() + 120
    while metric(cancelled) - before < 20:
        assert time.monotonic() < deadline
        begun = threading.Event()

        def answered(result: Any, error: Any, begun: threading.Event = begun) -> None:  # noqa: ARG001 - called by names
            begun.set()

        calls = [client.async_infer("preprocess", large, answered) for _ in range(60)]
        assert begun.wait(60)  # one is answered: the server is at work, and the others wait or are on their way
        for call in calls:
            call.cancel()
        time.sleep(1.0)  # the metrics are exported once a second


def test_of_several_images_the_bad_one_is_named(client: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"image 2 of 3 \(from 0\): image of 3 bytes"):
        client.infer("preprocess", inputs([GOOD, GOOD, b"abc"]))


def slow_card(repository: Path) -> None:
    """Put a model that takes 10 ms an image in the place of the card's."""
    (repository / "resnet50" / "1" / "model.py").write_text(SLOW_CARD)
    config = repository / "resnet50" / "config.pbtxt"
    text = re.sub(r"^parameters(.|\n)*", "", config.read_text(), flags=re.MULTILINE)
    config.write_text(text + '\noutput { name: "TOP5" data_type: TYPE_INT32 dims: [ 5 ] }\n')
    set_outputs(repository / "classify" / "config.pbtxt", [TOP5])
