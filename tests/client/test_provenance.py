"""Real servers with `--provenance` and without: what the client says of each, and what it does not know."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_support import Run
from helpers import wait_for
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
    assert "busy: card not known (serve with --provenance)" in silent.stdout
    assert "accelerator" not in silent.stdout
    assert "not told" not in open_.stdout
    assert "accelerator" in open_.stdout
    assert "xclbin    " in silent.stdout
    doctor = [run("doctor", "--url", each.grpc_url).stdout for each in (server, telling)]
    assert "does not say which card answered" in doctor[0]
    assert "card software:0, on it" in doctor[1]


@pytest.mark.parametrize("tells", [False, True])
def test_how_busy_the_card_was_is_what_the_server_measured_or_not_known(
    run: Run, server: Server, telling: Server, sample: Path, tmp_path: Path, tells: bool
) -> None:
    asked = telling if tells else server
    words = ("accuracy", sample / "images", "--labels", sample / "images" / "labels.txt", "--url", asked.grpc_url)
    words = (*words, "--outfile", tmp_path / "r.csv", "--report", tmp_path / "r.html", "--profile", "--json")
    before_s = _kernel_s(asked)
    summary = json.loads(run(*words).stdout)
    busy = summary["profile_summary"][0]
    printed = re.search(r"card (\d+) %", busy)
    if printed:  # the server's metric follows within a second
        busy_s = pytest.approx(int(printed[1]) / 100 * summary["duration_s"], rel=0.25)
        wait_for(lambda: _kernel_s(asked) - before_s == busy_s)
    assert busy in (tmp_path / "r.html").read_text()
    if tells:
        assert printed
        assert summary["profile_busy"]["card"] == pytest.approx(int(printed[1]) / 100, abs=0.006)
    else:
        assert busy.startswith("busy: card not known (serve with --provenance), client ")
        assert summary["profile_busy"]["card"] is None
        assert list(summary["profile_s"]) == ["total", "client"]
    assert json.loads(run(*words, "--resume").stdout)["profile_busy"] == {}  # nothing was left to ask for


def _kernel_s(server: Server) -> float:
    """How long the server says its cards have computed."""
    text = urllib.request.urlopen(f"http://{server.metrics_url}/metrics").read().decode()
    return sum(map(float, re.findall(r"^resnet50_kernel_seconds_sum\{.*\} (\S+)$", text, re.M)))
