"""Presets set their parameters over config.pbtxt, and leave whatever else it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from resnet50_triton.server.config import changed_config, read_config
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.presets import PRESETS
from resnet50_triton.server.repository import default_repository, describe
from resnet50_triton.triton.parameters import PREPROCESS, RESNET50
from tritonclient.grpc import model_config_pb2

TABLE = {"latency": ("1", "4"), "throughput": ("100", "16")}  # the original's: images in a run, decoders


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """The project's models with edits of an operator's own."""
    source = tmp_path / "source"
    shutil.copytree(default_repository(), source)
    with changed_config(source / "resnet50" / "config.pbtxt") as config:
        config.max_batch_size = 64
        config.parameters["selftest_interval_s"].string_value = "off"
        config.parameters["kernel_batch_size"].string_value = "7"
    with changed_config(source / "preprocess" / "config.pbtxt") as config:
        config.dynamic_batching.default_queue_policy.max_queue_size = 99
    return source


def deployment(sample: Path, **options: object) -> Deployment:
    return Deployment(sample / "card.xclbin", sample / "fcweights.csv", card="timing:0", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("preset", TABLE)
def test_a_preset_changes_what_it_is_for_alone(sample: Path, tmp_path: Path, edited: Path, preset: str) -> None:
    plain = deployment(sample, models=edited).make_repository(tmp_path / "plain")
    made = deployment(sample, preset=preset, models=edited).make_repository(tmp_path / "made")
    for model, name, value in zip(
        ("resnet50", "preprocess"), ("kernel_batch_size", "decode_workers"), TABLE[preset], strict=True
    ):
        before, after = (read_config(repository / model / "config.pbtxt") for repository in (plain, made))
        assert after.parameters[name].string_value == value
        before.parameters[name].string_value = value
        assert after == before
    assert read_config(made / "resnet50" / "config.pbtxt").max_batch_size == 64
    assert (
        describe(made)
        == {
            "latency": "at most 1 image in a run of the card, 4 decoding threads",
            "throughput": "at most 100 images in a run of the card, 16 decoding threads",
        }[preset]
    )


def test_what_is_set_stands_above_a_preset(sample: Path, tmp_path: Path) -> None:
    parameters = {"resnet50": {"kernel_batch_size": "24"}, "preprocess": {"decode_workers": "3"}}
    made = deployment(sample, preset="throughput", parameters=parameters).make_repository(tmp_path / "models")
    assert describe(made) == "at most 24 images in a run of the card, 3 decoding threads"


def test_presets_set_parameters_that_there_are() -> None:
    known = {"resnet50": RESNET50, "preprocess": PREPROCESS}
    for preset in PRESETS.values():
        for model, values in preset.items():
            assert set(values) <= {parameter.name for parameter in known[model]}


def test_no_configuration_waits_for_a_batch_to_fill() -> None:
    for path in default_repository().glob("*/config.pbtxt"):
        config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        assert config.dynamic_batching.max_queue_delay_microseconds == 0
    assert not list(default_repository().glob("*/configs"))
