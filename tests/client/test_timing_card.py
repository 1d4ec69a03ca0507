"""No accuracy of a card that computes nothing, unless it is asked for; and then it says what it is worth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_support import Run
from fast import make_fast_repository, make_images
from resnet50_triton.server.process import Server

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def timing_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose configuration names a timing card; for the client it is the same who answers."""
    repository = make_fast_repository(tmp_path_factory.mktemp("timing") / "models")
    with (repository / "classify" / "config.pbtxt").open("a") as config:
        config.write('parameters { key: "card" value { string_value: "xrt:0,timing:0" } }\n')
    with Server(repository) as running:
        running.wait_ready()
        yield running.grpc_url


def test_accuracy_needs_a_flag(run: Run, timing_url: str, tmp_path: Path) -> None:
    words = ["accuracy", tmp_path / "val", "--labels", make_images(tmp_path / "val", 8), "--url", timing_url]
    refused = run(*words)
    assert refused.returncode == 2
    assert "card 'xrt:0,timing:0' computes nothing, so its answers have no accuracy" in refused.stderr
    allowed = run(*words, "--allow-timing-card", "--json")
    assert allowed.returncode == 1
    summary = json.loads(allowed.stdout)
    assert summary["scored"] == 8
    assert summary["reason"] == "a timing card computes nothing: these figures mean nothing"
