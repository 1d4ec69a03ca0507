"""Presets: the ready files differ from config.pbtxt in what they are for alone; `auto` keeps to the target."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from resnet50_triton.errors import BadParameter
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.presets import READY, Batching, describe
from resnet50_triton.server.tuning import SIZES, choose, tune
from resnet50_triton.triton import parameters
from resnet50_triton.weights import load_fc_weights
from tritonclient.grpc import model_config_pb2

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
TABLE = {"latency": ("1", "4"), "throughput": ("100", "16")}  # the original's: images in a start, decoders


def read(path: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


def card(start_s: float, image_s: float) -> dict[int, float]:
    return {images: start_s + image_s * images for images in SIZES}


ALVEO = card(1.6e-3, 0.368e-3)


@pytest.mark.parametrize("preset", READY)
def test_ready_presets_change_what_they_are_for_alone(preset: str) -> None:
    images, workers = TABLE[preset]
    kernel, decoder = (read(REPOSITORY / model / "configs" / f"{preset}.pbtxt") for model in ("resnet50", "preprocess"))
    assert kernel.parameters["kernel_batch_size"].string_value == images
    assert decoder.parameters["decode_workers"].string_value == workers
    assert set(kernel.parameters) <= {parameter.name for parameter in parameters.RESNET50}
    for config, name in ((kernel, "kernel_batch_size"), (decoder, "decode_workers")):
        plain = read(REPOSITORY / config.name / "config.pbtxt")
        for each in (config, plain):
            each.parameters.pop(name, None)
        if config is kernel:
            config.dynamic_batching.CopyFrom(plain.dynamic_batching)
        assert config == plain


def test_a_deployment_takes_a_preset(sample: Path, tmp_path: Path) -> None:
    deployment = Deployment(sample / "card.xclbin", sample / "fcweights.csv", card="timing:0", preset="throughput")
    repository = deployment.make_repository(tmp_path / "models")
    assert describe(repository).startswith("at most 100 images in a start of the card, a batch waits up to ")
    assert describe(repository).endswith("16 decoding threads")
    kernel = read(repository / "resnet50" / "config.pbtxt")
    assert kernel.parameters["card"].string_value == "timing:0"
    assert list(kernel.dynamic_batching.preferred_batch_size) == [100]
    assert not list(repository.glob("*/configs"))


def test_models_without_the_preset_are_named(sample: Path, tmp_path: Path) -> None:
    deployment = Deployment(sample / "card.xclbin", sample / "fcweights.csv", preset="thoughput")
    with pytest.raises(BadParameter, match=r"no model of the repository has a configs/thoughput\.pbtxt"):
        deployment.make_repository(tmp_path / "models")


def test_a_chosen_batching_is_in_the_configuration(sample: Path, tmp_path: Path) -> None:
    deployment = Deployment(sample / "card.xclbin", sample / "fcweights.csv", batching=Batching(24, 1.5e-3))
    kernel = read(deployment.make_repository(tmp_path / "models") / "resnet50" / "config.pbtxt")
    assert kernel.parameters["kernel_batch_size"].string_value == "24"
    assert list(kernel.dynamic_batching.preferred_batch_size) == [24]
    assert kernel.dynamic_batching.max_queue_delay_microseconds == 1500


@pytest.mark.parametrize("target_s", [4e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.2, 10.0])
def test_a_start_behind_a_full_one_keeps_the_target(target_s: float) -> None:
    chosen = choose(ALVEO, target_s, "xrt:0")
    assert chosen.delay_s + 2 * ALVEO[chosen.images] <= target_s
    assert chosen.delay_s <= 1.6e-3
    larger = [images for images in SIZES if images > chosen.images and 2 * ALVEO[images] <= target_s]
    assert all(images / ALVEO[images] < 1.03 * chosen.images / ALVEO[chosen.images] for images in larger)


def test_where_batches_bring_nothing_none_is_made() -> None:
    assert choose(card(0.0, 4e-3), 0.5, "software:0") == Batching(1, 0.0)


def test_a_target_that_one_image_cannot_keep_is_refused() -> None:
    with pytest.raises(BadParameter, match=r"a latency of 1 ms was asked for, but card 'xrt:0' takes 1\.97 ms"):
        choose(ALVEO, 1e-3, "xrt:0")
    assert choose(ALVEO, 3e-3, "xrt:0") == Batching(1, 0.0)  # for one request at a time


def test_a_card_is_measured_and_let_go(sample: Path) -> None:
    files = sample / "card.xclbin", sample / "fcweights.csv"
    tuned = tune(*files, "timing:5,timing:6", 20e-3)
    assert tuned.card == "timing:5"
    assert all(time_s >= ALVEO[images] for images, time_s in tuned.times_s.items())
    assert 1 in tuned.times_s
    assert tuned.batching == choose(tuned.times_s, 20e-3, "timing:5")
    with Kernel(files[0], load_fc_weights(files[1]), "timing:5"):
        pass  # free for others
