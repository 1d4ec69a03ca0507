"""Real servers with `--provenance` and without: what the client says of each, and what it does not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_support import Run
from resnet50_client import Client, RequestRefused
from resnet50_triton.decode import decode_image
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.xclbin.kernel_info import read_xclbin
from servers import running

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def telling(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that tells provenance, and takes PIXELS in RGB."""
    parameters = {"resnet50": {"provenance": "on", "channel_order": "RGB"}, "preprocess": {"channel_order": "RGB"}}
    deployment = Deployment(*Deployment.files_of_sample(sample), parameters=parameters)
    with running(deployment.make_repository(tmp_path_factory.mktemp("telling") / "models")) as server:
        yield server


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_tells(
    telling: Server, sample: Path, jpegs: list[Path], stock_logits: dict[str, Any], protocol: str, pixels: bool
) -> None:
    """And that takes the channels in the other order: the answers are those of the card's."""
    uuid = read_xclbin(sample / "card.xclbin").uuid.replace("-", "")
    with Client(getattr(telling, f"{protocol}_url"), protocol=protocol, pixels=pixels) as client:
        info = client.describe()
        predictions = client.classify(jpegs)
    assert (info.cards, info.xclbins, info.tells_provenance) == (("software:0",), (uuid,), True)
    for prediction, path in zip(predictions, jpegs, strict=True):
        assert prediction.error is None
        assert prediction.top[0].score == max(stock_logits[path.name])
        told, times = prediction.provenance, prediction.times
        assert told is not None
        assert times is not None
        assert (told.card, told.runs, prediction.xclbin_uuid) == ("software:0", 1, uuid)
        assert 1 <= told.batch_size <= len(jpegs)
        moments = [times.sent_ns, told.received_ns, told.upload_start_ns, told.upload_end_ns, told.kernel_start_ns]
        moments += [told.kernel_end_ns, told.download_start_ns, told.download_end_ns, times.answered_ns]
        assert moments == sorted(moments)  # one machine, one clock


def test_a_server_that_does_not_tell_names_its_xclbin(server: Server, sample: Path, jpegs: list[Path]) -> None:
    with Client(server.grpc_url) as client:
        assert not client.describe().tells_provenance
        (prediction,) = client.classify(jpegs[0])
    assert prediction.provenance is None
    assert prediction.xclbin_uuid == read_xclbin(sample / "card.xclbin").uuid.replace("-", "")


def test_the_two_steps_show_what_the_network_sees(server: Server, telling: Server, jpegs: list[Path]) -> None:
    """The same pixels and classes whatever the channel order; the card's stages where the server tells them."""
    with Client(server.grpc_url) as silent, Client(telling.grpc_url) as open_:
        (prediction,) = silent.classify(jpegs[0])
        one, two = silent.inspect(jpegs[0]), open_.inspect(jpegs[0])
        with pytest.raises(RequestRefused, match="No such file"):
            silent.inspect("gone.jpg")
    np.testing.assert_array_equal(one.pixels, decode_image(jpegs[0].read_bytes())[..., ::-1])
    np.testing.assert_array_equal(one.pixels, two.pixels)
    assert one.prediction.top == two.prediction.top == prediction.top
    assert list(one.stages_s) == ["preprocess", "resnet50"]
    assert list(two.stages_s) == ["preprocess", "transport", "queue", "upload", "kernel", "download"]
    assert min(*one.stages_s.values(), *two.stages_s.values()) >= 0


def test_what_is_not_told_is_said(run: Run, server: Server, telling: Server, sample: Path, tmp_path: Path) -> None:
    words = ("accuracy", sample / "images", "--labels", sample / "images" / "labels.txt", "--profile")
    words = (*words, "--trace", tmp_path / "t.json", "--url")
    silent, open_ = run(*words, server.grpc_url), run(*words, telling.grpc_url)
    assert silent.returncode == open_.returncode == 0, silent.stderr + open_.stderr
    assert "the server does not say which card answered (serve --provenance" in silent.stdout
    assert "the times on the card are not known" in silent.stdout
    assert "accelerator" not in silent.stdout
    assert "not told" not in open_.stdout
    assert "accelerator" in open_.stdout
    assert "xclbin    " in silent.stdout
    doctor = [run("doctor", "--url", each.grpc_url).stdout for each in (server, telling)]
    assert "does not say which card answered" in doctor[0]
    assert "card software:0, on it" in doctor[1]
