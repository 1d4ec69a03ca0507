"""The reference against golden vectors made with the original HLS sources compiled for C simulation."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from resnet50_triton.network.parameters import Network
from resnet50_triton.network.reference import fully_connected, pool_features, run_stages, top_k
from resnet50_triton.weights import load_fc_weights


def test_every_stage_of_every_golden_image(shared_data: Path) -> None:
    network = Network.load(shared_data / "resnet50_w1a2_v1.npz")
    weights = load_fc_weights(shared_data / "fcweights.csv")
    golden = np.load(shared_data / "golden.npz")
    for i, image in enumerate(golden["images"]):
        stages = dict(run_stages(network, image[None]))
        assert list(stages) == list(golden["stage_names"])
        crcs = [zlib.crc32(stage.tobytes()) for stage in stages.values()]
        assert crcs == list(golden["stage_crc32"][i])
        features = pool_features(stages["res5c"])
        assert np.array_equal(features[0], golden["features"][i])
        logits = fully_connected(features, weights, network["fc.bias"])
        assert np.array_equal(logits[0], golden["logits"][i])
        assert np.array_equal(top_k(logits)[0], golden["top5"][i])


@pytest.mark.parametrize("value", [0, -7, 2**20])
def test_ties_go_to_the_lower_class_id(value: int) -> None:
    logits = np.full((1, 1000), value, np.int32)
    logits[0, [700, 30]] = value + 1
    assert top_k(logits).tolist() == [[30, 700, 0, 1, 2]]
