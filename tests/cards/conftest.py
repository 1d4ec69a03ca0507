"""The cards that are here, each with an xclbin, weights, images and the expected outputs.

An Alveo takes part where XRT finds one and RESNET50_XRT_XCLBIN names an image for it: the published xclbin, whose
network the tests know from the shared test material, or one whose network RESNET50_XRT_NETWORK names (an .npz). The
bench in tests/xrt is such a machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import Case, lacking_for_xrt
from gatecard import GateCard
from helpers import random_network, random_pixels, random_weights
from resnet50_triton.network.parameters import Network
from resnet50_triton.network.reference import ReferenceEngine
from resnet50_triton.xclbin.kernel_info import write_xclbin


@pytest.fixture(scope="session")
def software_cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    network, weights, pixels = random_network(1), random_weights(2), random_pixels(3, 3)
    logits = ReferenceEngine(network).logits(pixels, weights)
    folder = tmp_path_factory.mktemp("images")
    cases = {}
    for outputs in ("logits", "top5"):
        write_xclbin(folder / f"{outputs}.xclbin", network, outputs)
        cases[outputs] = Case("software:0", folder / f"{outputs}.xclbin", weights, pixels, logits)
    return cases


@pytest.fixture(scope="session")
def xrt_case(request: pytest.FixtureRequest) -> Case:
    network = os.environ.get("RESNET50_XRT_NETWORK")
    if network is None:
        network = request.getfixturevalue("shared_data") / "resnet50_w1a2_v1.npz"
    weights, pixels = random_weights(2), random_pixels(3, 3)
    logits = ReferenceEngine(Network.load(network)).logits(pixels, weights)
    return Case("xrt:0", Path(os.environ["RESNET50_XRT_XCLBIN"]), weights, pixels, logits)


@pytest.fixture(params=["software:0 logits", "software:0 top5", *([] if lacking_for_xrt() else ["xrt:0"])])
def case(request: pytest.FixtureRequest) -> Case:
    name, _, outputs = request.param.partition(" ")
    if name == "xrt:0":
        return request.getfixturevalue("xrt_case")
    return request.getfixturevalue("software_cases")[outputs]


@pytest.fixture
def gate() -> Iterator[GateCard]:
    """A card whose runs last until they are let through."""
    card = GateCard(7)
    yield card
    card.open.set()
