"""The kernel model through the real server: provenance, metrics, refusals, reloading, shutdown."""

from __future__ import annotations

import re
import shutil
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
from google.protobuf import text_format
from helpers import random_network, wait_for
from resnet50_triton.cards.faulty import ENVIRONMENT, inject
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.server.config import changed_config
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.tensors import CARD_KINDS, PROVENANCE_FIELDS
from resnet50_triton.weights import load_fc_weights
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin
from servers import running
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.server


def load_anew(server: Server, client: Any) -> None:
    """Load the model again. Triton does nothing where no model file is newer than its last load."""
    (server.repository / "resnet50" / "1" / "model.py").touch()  # type: ignore[attr-defined]
    client.load_model("resnet50")


PIXELS = np.random.default_rng(5).integers(0, 256, (3, 224, 224, 3), np.uint8)


def tensor(images: int) -> Any:
    made = grpc.InferInput("PIXELS", [images, 224, 224, 3], "UINT8")
    made.set_data_from_numpy(PIXELS[:images])
    return [made]


def logits_of(xclbin: Path, weights: Path) -> np.ndarray:
    network = Network.from_bytes(read_xclbin(xclbin).network_bytes())
    return open_engine(network).logits(PIXELS, load_fc_weights(weights))


@pytest.fixture(scope="module")
def files(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """card.xclbin and fcweights.csv, to be replaced by the tests; other.xclbin with another network."""
    folder = tmp_path_factory.mktemp("files")
    for name in ("card.xclbin", "fcweights.csv"):
        (folder / name).write_bytes((sample / name).read_bytes())
    write_xclbin(folder / "other.xclbin", random_network(4))
    return folder


@pytest.fixture(scope="module")
def server(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that loads models on demand, with a card that fails on purpose."""
    folder = tmp_path_factory.mktemp("explicit")
    # The tests replace the xclbin, so none of them is asked for by its UUID.
    faulty = {"card": "faulty:0", "kernel_timeout_s": "2", "failover_wait_s": "off"}
    parameters = {"resnet50": {**faulty, "xclbin_uuid": ""}}
    deployment = Deployment(files / "card.xclbin", files / "fcweights.csv", parameters=parameters)
    repository = deployment.make_repository(folder / "models")
    inject(folder / "faults.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENT, str(folder / "faults.json"))
        options = ["--model-control-mode=explicit", "--load-model=resnet50"]
        with running(repository, options=options) as server:
            server.repository = repository  # type: ignore[attr-defined]
            server.faults = folder / "faults.json"  # type: ignore[attr-defined]
            yield server


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with grpc.InferenceServerClient(server.grpc_url) as made:
        yield made


def test_provenance_where_it_is_switched_on(server: Server, client: Any, files: Path) -> None:
    """In INT64, one row an image; without it, no output of the model tells where it was computed."""
    assert "PROVENANCE" not in [o["name"] for o in client.get_model_metadata("resnet50", as_json=True)["outputs"]]
    with changed_config(server.repository / "resnet50" / "config.pbtxt") as config:  # type: ignore[attr-defined]
        config.parameters["provenance"].string_value = "on"
    load_anew(server, client)
    try:
        before_ns = time.time_ns()
        rows = client.infer("resnet50", tensor(2)).as_numpy("PROVENANCE")
        assert rows.dtype == np.int64
        told = [dict(zip(PROVENANCE_FIELDS, row.tolist(), strict=True)) for row in rows]
        assert len(told) == 2
        assert (told[0]["card_kind"], told[0]["card_index"]) == (CARD_KINDS["faulty"], 0)
        halves = struct.pack(">qq", told[0]["xclbin_uuid_high"], told[0]["xclbin_uuid_low"])
        assert halves.hex() == read_xclbin(files / "card.xclbin").uuid
        assert (told[0]["batch_size"], told[0]["runs"]) == (2, 1)
        moments = [value for name, value in told[0].items() if name.endswith("_ns")]
        assert len(moments) == 7
        assert moments == sorted(moments)
        assert before_ns < moments[0] + 1000
        assert moments[-1] <= time.time_ns() + 1000
    finally:
        with changed_config(server.repository / "resnet50" / "config.pbtxt") as config:  # type: ignore[attr-defined]
            config.parameters["provenance"].string_value = "off"
        load_anew(server, client)


def test_two_models_share_the_card_but_only_with_one_image(server: Server, client: Any, files: Path) -> None:
    """Each model is a process of its own; on an Alveo too they would take turns, run by run."""
    add_model(server, "twin", files / "card.xclbin")
    client.load_model("twin")
    expected = logits_of(files / "card.xclbin", files / "fcweights.csv")
    wrong: list[str] = []

    def ask(model: str) -> None:
        with grpc.InferenceServerClient(server.grpc_url) as mine:
            for _ in range(10):
                if not np.array_equal(mine.infer(model, tensor(3)).as_numpy("LOGITS"), expected):
                    wrong.append(model)

    threads = [threading.Thread(target=ask, args=(model,)) for model in ("resnet50", "twin")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

    add_model(server, "stranger", files / "other.xclbin")
    with pytest.raises(InferenceServerException) as refused:
        client.load_model("stranger")
    message = refused.value.message()
    assert re.search(rf"card 'faulty:0' is in use by model '(resnet50|twin)' .* with {files}/card\.xclbin", message)
    assert f"it cannot hold {files}/other.xclbin (UUID {read_xclbin(files / 'other.xclbin').uuid})" in message
    client.unload_model("twin")
    assert np.array_equal(client.infer("resnet50", tensor(3)).as_numpy("LOGITS"), expected)


def add_model(server: Server, name: str, xclbin: Path) -> None:
    """Put one more kernel model into the repository, on the same card."""
    folder = server.repository / name  # type: ignore[attr-defined]
    shutil.copytree(server.repository / "resnet50", folder)  # type: ignore[attr-defined]
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    config.name = name
    config.parameters["xclbin"].string_value = str(xclbin)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config))


READY = 'resnet50_card_state{card="faulty:0",model="resnet50",state="ready",version="1"} 1'


def scrape(server: Server) -> str:
    """The server's metrics."""
    return str(urllib.request.urlopen(f"http://{server.metrics_url}/metrics").read().decode())


def test_metrics_beside_tritons(server: Server, client: Any) -> None:
    def images() -> float:
        text = scrape(server)
        assert READY in text
        assert "resnet50_uptime_seconds_total{" in text
        assert "resnet50_power_watts{" not in text  # it is the CPU's, and no card's
        assert 'resnet50_kernel_seconds_bucket{card="faulty:0",le="+Inf"' in text
        line = re.search(r'^resnet50_images_total{card="faulty:0",model="resnet50",.*} (\S+)$', text, re.MULTILINE)
        return float(line[1]) if line else 0.0

    client.infer("resnet50", tensor(1))
    deadline = time.monotonic() + 30
    while READY not in scrape(server) and time.monotonic() < deadline:  # once a second
        time.sleep(0.1)
    before, after = images(), -1.0
    while after != before:  # what was asked before this test is counted
        time.sleep(1.5)
        before, after = images(), before
    client.infer("resnet50", tensor(3))
    deadline = time.monotonic() + 30
    while images() == before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert images() == before + 3


def test_a_failed_card_answers_unavailable_and_returns(server: Server, client: Any, files: Path) -> None:
    inject(server.faults, {"fault": "hang"})  # type: ignore[attr-defined]
    begin_s = time.monotonic()
    with pytest.raises(InferenceServerException, match="took longer than 2 s") as error:
        client.infer("resnet50", tensor(1))
    assert error.value.status() == "StatusCode.UNAVAILABLE"
    assert time.monotonic() - begin_s < 20  # the deadline is 2 s
    wait_until_it_works(client)
    expected = logits_of(files / "card.xclbin", files / "fcweights.csv")
    assert np.array_equal(client.infer("resnet50", tensor(3)).as_numpy("LOGITS"), expected)


def wait_until_it_works(client: Any, timeout_s: float = 60.0) -> None:
    """Wait for a card's recovery."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            client.infer("resnet50", tensor(1))
            return
        except InferenceServerException as error:
            if error.status() != "StatusCode.UNAVAILABLE" or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_a_cancelled_request(server: Server, client: Any) -> None:
    inject(server.faults, {"fault": "slow", "seconds": 1.0})  # type: ignore[attr-defined]
    got: list[Any] = []
    answered = threading.Event()

    def take(result: Any, error: Any) -> None:
        got.append(error or result)
        answered.set()

    call = client.async_infer("resnet50", tensor(1), take)
    time.sleep(0.1)
    call.cancel()
    assert answered.wait(10)
    assert got[0].status() == "StatusCode.CANCELLED"
    assert client.infer("resnet50", tensor(1)).as_numpy("LOGITS").shape == (1, 1000)


@pytest.mark.parametrize("name", ["card.xclbin", "fcweights.csv"])
def test_a_bad_file_leaves_the_old_one_serving(server: Server, client: Any, files: Path, name: str) -> None:
    before = client.infer("resnet50", tensor(3)).as_numpy("LOGITS")
    good = (files / name).read_bytes()
    (files / name).write_bytes(good[: len(good) // 2])
    try:
        with pytest.raises(InferenceServerException, match=name):
            load_anew(server, client)
    finally:
        (files / name).write_bytes(good)
    assert np.array_equal(client.infer("resnet50", tensor(3)).as_numpy("LOGITS"), before)


def test_a_card_that_fails_the_new_versions_check_leaves_the_old_one_serving(server: Server, client: Any) -> None:
    before = client.infer("resnet50", tensor(3)).as_numpy("LOGITS")
    inject(server.faults, {"fault": "wrong", "count": 1})  # type: ignore[attr-defined]
    # The old version's card obeys the file too: its wrong answer is the first, so it is taken away before the load.
    client.infer("resnet50", tensor(1))
    with pytest.raises(InferenceServerException, match="the self-test image came back"):
        load_anew(server, client)
    inject(server.faults)  # type: ignore[attr-defined]
    assert np.array_equal(client.infer("resnet50", tensor(3)).as_numpy("LOGITS"), before)


def test_a_new_image_is_swapped_in_under_load(server: Server, client: Any, files: Path) -> None:
    old = logits_of(files / "card.xclbin", files / "fcweights.csv")
    new = logits_of(files / "other.xclbin", files / "fcweights.csv")
    answers: tuple[list[str], list[str]] = ([], [])
    ended = threading.Event()

    def ask(mine: list[str]) -> None:
        with grpc.InferenceServerClient(server.grpc_url) as own:
            while not ended.is_set():
                logits = own.infer("resnet50", tensor(3)).as_numpy("LOGITS")
                mine.append("old" if np.array_equal(logits, old) else "new" if np.array_equal(logits, new) else "?")

    good = (files / "card.xclbin").read_bytes()
    threads = [threading.Thread(target=ask, args=(mine,)) for mine in answers]
    for thread in threads:
        thread.start()
    wait_for(lambda: all("old" in mine for mine in answers))
    (files / "card.xclbin").write_bytes((files / "other.xclbin").read_bytes())
    load_anew(server, client)
    wait_for(lambda: all(mine[-1] == "new" for mine in answers))
    ended.set()
    for thread in threads:
        thread.join()
    for mine in answers:  # no old answer after a new one
        assert mine == sorted(mine, reverse=True)
        assert set(mine) == {"old", "new"}
    (files / "card.xclbin").write_bytes(good)
    load_anew(server, client)
    assert np.array_equal(client.infer("resnet50", tensor(3)).as_numpy("LOGITS"), old)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("output { name: 'FEATURES' data_type: TYPE_FP32 dims: [ 2048 ] }", "declares 'FEATURES', which the logits"),
        ("output { name: 'TOP5' data_type: TYPE_INT32 dims: [ 5 ] }", "declares 'TOP5', which the logits"),
        ("output { name: 'LOGITS' data_type: TYPE_FP32 dims: [ 10 ] }", "the model expects dims"),
        ("parameters { key: 'xclbin_uuid' value { string_value: '00' } }", "xclbin_uuid is '00', but"),
        ("parameters { key: 'card' value { string_value: 'sofware:0' } }", "sofware:0.* software"),
        (
            "parameters { key: 'fcweights' value { string_value: '/no.csv' } }",
            "'fcweights' .*/no.csv, which is not a fi",
        ),
    ],
)
def test_a_config_with_a_mistake_is_refused(server: Server, client: Any, change: str, words: str) -> None:
    path = server.repository / "resnet50" / "config.pbtxt"  # type: ignore[attr-defined]
    good = path.read_text()
    config = text_format.Parse(good, model_config_pb2.ModelConfig())
    text_format.Merge(change, config)
    path.write_text(text_format.MessageToString(config))
    try:
        with pytest.raises(InferenceServerException, match=words):
            load_anew(server, client)
    finally:
        path.write_text(good)
    assert client.infer("resnet50", tensor(1)).as_numpy("LOGITS").shape == (1, 1000)


@pytest.mark.parametrize(
    "groups",
    [(), ({"count": 1, "name": "fast"},), ({"count": 1, "name": "a_7"}, {"count": 1, "name": "b"})],
    ids=["none", "named", "two"],
)
def test_instance_groups(server: Server, client: Any, files: Path, groups: tuple[dict[str, Any], ...]) -> None:
    """Nothing is expected of an instance's name; several instances divide the cards."""
    inject(server.faults)  # type: ignore[attr-defined]
    path = server.repository / "resnet50" / "config.pbtxt"  # type: ignore[attr-defined]
    good = path.read_text()
    with changed_config(path) as config:
        config.parameters["card"].string_value = "faulty:0,faulty:1"
        config.parameters["threads"].string_value = "1"
        del config.instance_group[:]
        for group in groups:
            config.instance_group.add(kind="KIND_CPU", **group)
    try:
        load_anew(server, client)
        expected = logits_of(files / "card.xclbin", files / "fcweights.csv")
        for _ in range(4):
            assert np.array_equal(client.infer("resnet50", tensor(3)).as_numpy("LOGITS"), expected)
    finally:
        path.write_text(good)
        load_anew(server, client)


def _taken(client: Any) -> int:
    """Requests that the model has taken: there Triton's clock stops."""
    (statistics,) = client.get_inference_statistics("resnet50").model_stats
    return int(statistics.inference_stats.success.count)


def test_ending_answers_what_is_in_flight(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = tmp_path / "faults.json"
    inject(faults)
    monkeypatch.setenv(ENVIRONMENT, str(faults))
    repository = Deployment.of_sample(sample, "faulty:0").make_repository(tmp_path / "models")
    answers: list[Any] = []
    with Server(repository) as server:
        server.wait_ready()
        with grpc.InferenceServerClient(server.grpc_url) as client:
            inject(faults, {"fault": "slow", "seconds": 0.7})
            for _ in range(3):
                client.async_infer("resnet50", tensor(3), lambda result, error: answers.append(error or result))
            wait_for(lambda: _taken(client) == 3)
            assert server.stop() == 0
    assert len(answers) == 3
    assert all(getattr(answer, "as_numpy", None) for answer in answers)
