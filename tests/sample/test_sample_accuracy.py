"""The whole sample on pictures that it was neither fitted to nor shipped with. `make run` asks the server the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from resnet50_triton.decode import decode_image
from resnet50_triton.network.engine import engines, open_engine
from resnet50_triton.network.parameters import Network
from resnet50_triton.sample.build import build_sample
from resnet50_triton.sample.drawings import CLASS_NAMES, encode
from resnet50_triton.weights import load_fc_weights

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = range(500, 504)  # a sample ships at most 99 held-out pictures a class, so these are in none


@pytest.fixture(scope="module")
def sample() -> Path:
    """The sample that `make sample` builds, built here where that was not run."""
    directory = ROOT / "build" / "sample"
    current = (directory / "sample.json").is_file()
    if not current and (engines() == ("reference",) or os.environ.get("RESNET50_ENGINE") == "reference"):
        pytest.skip("no sample at build/sample, and building it takes many minutes without the native engine")
    build_sample(directory)
    return directory


def test_new_pictures_are_named_rightly(sample: Path) -> None:
    network = Network.load(sample / "net.npz")
    files = [encode(name, "held out", number) for name in CLASS_NAMES for number in NUMBERS]
    pixels = np.stack([decode_image(file) for file in files])
    expected = np.repeat(np.arange(len(CLASS_NAMES)), len(NUMBERS))
    logits = open_engine(network).logits(pixels, load_fc_weights(sample / "fcweights.csv"))
    right = logits.argmax(axis=1) == expected
    wrong = [CLASS_NAMES[i] for i in expected[~right]]
    assert right.mean() >= 0.9, f"{right.mean():.1%} right; wrong: {', '.join(wrong)}"
    # The five best are drawn classes, never "(unused 500)".
    assert np.argsort(-logits, axis=1)[:, :5].max() < len(CLASS_NAMES)
