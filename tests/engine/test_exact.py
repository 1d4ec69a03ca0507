"""Every engine gives the reference's numbers, bit for bit: golden vectors, and random networks over the whole range."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from networks import random_network
from resnet50_triton.errors import BadParameter, BadPixels, BadWeights
from resnet50_triton.network import engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.weights import load_fc_weights

NATIVE = [name for name in engine.engines() if name != "reference"]


@pytest.fixture(scope="module")
def trained(shared_data: Path) -> Network:
    return Network.load(shared_data / "resnet50_w1a2_v1.npz")


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", NATIVE)
def test_golden_vectors(name: str, threads: int, trained: Network, shared_data: Path) -> None:
    golden = np.load(shared_data / "golden.npz")
    count = 3 if name == "generic" else len(golden["images"])
    images = golden["images"][:count]
    loaded = engine.open_engine(trained, threads, name)
    stages = loaded.stages(images)
    for column, stage in enumerate(golden["stage_names"]):
        sums = [zlib.crc32(output.tobytes()) for output in stages[str(stage)]]
        assert sums == golden["stage_crc32"][:count, column].tolist(), stage
    assert np.array_equal(loaded.features(images), golden["features"][:count])
    weights = load_fc_weights(shared_data / "fcweights.csv")
    assert np.array_equal(loaded.logits(images, weights), golden["logits"][:count])


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("lines", [False, True])
def test_random_network_equals_the_reference(name: str, lines: bool) -> None:
    network = random_network(7, lines=lines)
    rng = np.random.default_rng(8)
    pixels = rng.integers(0, 256, (3, 224, 224, 3), np.uint8)
    pixels[1] = 0
    pixels[2] = 255
    weights = rng.integers(-128, 128, (1000, 2048), np.int8)
    expected = engine.open_engine(network, name="reference")
    loaded = engine.open_engine(network, 2, name)
    stages = loaded.stages(pixels)
    for stage, output in expected.stages(pixels).items():
        assert np.array_equal(stages[stage], output), stage
    assert np.array_equal(loaded.logits(pixels, weights), expected.logits(pixels, weights))


@pytest.mark.parametrize("name", NATIVE)
def test_every_batch_gives_what_its_images_give_alone(name: str) -> None:
    network = random_network(9)
    rng = np.random.default_rng(10)
    count = 3 if name == "generic" else 67  # more than the engine keeps at once, and odd
    pixels = rng.integers(0, 256, (count, 224, 224, 3), np.uint8)
    weights = rng.integers(-128, 128, (1000, 2048), np.int8)
    loaded = engine.open_engine(network, 2, name)
    out = np.zeros((count, 1000), np.int32)
    assert loaded.logits(pixels, weights, out) is out
    for i in (0, count // 2, count - 2, count - 1):
        assert np.array_equal(out[i : i + 1], loaded.logits(pixels[i : i + 1], weights))
    assert loaded.logits(pixels[:0], weights).shape == (0, 1000)


def test_strided_arrays_are_read_as_they_are_indexed() -> None:
    loaded = engine.open_engine(random_network(11), 1)
    rng = np.random.default_rng(12)
    pixels = rng.integers(0, 256, (2, 224, 224, 3), np.uint8)
    mirrored = pixels[:, :, ::-1]
    assert np.array_equal(loaded.features(mirrored), loaded.features(mirrored.copy()))


@pytest.mark.parametrize("name", engine.engines())
def test_the_environment_forces_an_engine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.ENVIRONMENT, name)
    assert name in engine.open_engine(random_network(1), 1).name


def test_an_unknown_engine_is_refused_with_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(engine.ENVIRONMENT, "avx9000")
    with pytest.raises(BadParameter, match=r"'avx9000'.*choose from .*generic, reference"):
        engine.choose()


def test_bad_arguments_are_refused() -> None:
    network = random_network(2)
    with pytest.raises(BadParameter, match="threads must be 0"):
        engine.open_engine(network, -1)
    loaded = engine.open_engine(network, 1)
    weights = np.zeros((1000, 2048), np.int8)
    with pytest.raises(BadPixels, match=r"expected uint8 \('N', 224, 224, 3\)"):
        loaded.logits(np.zeros((1, 3, 224, 224), np.uint8), weights)
    with pytest.raises(BadPixels, match="found float32"):
        loaded.features(np.zeros((1, 224, 224, 3), np.float32))
    with pytest.raises(BadWeights, match=r"found int8 \(2048, 1000\)"):
        loaded.logits(np.zeros((1, 224, 224, 3), np.uint8), weights.T)
