"""Model instances on cards that fail on purpose, with a network of random weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import random_network, random_pixels, random_weights
from resnet50_triton.cards.faulty import ENVIRONMENT, inject
from resnet50_triton.network.engine import open_engine
from resnet50_triton.runtime.instance import InstanceInfo, ModelInstance
from resnet50_triton.triton.parameters import RESNET50, read_parameters
from resnet50_triton.xclbin.kernel_info import write_xclbin
from runtime_support import Answers, Material


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("serving")
    network, weights, pixels = random_network(1), random_weights(2), random_pixels(3, 4)
    write_xclbin(folder / "card.xclbin", network)
    write_xclbin(folder / "other.xclbin", random_network(4))
    np.save(folder / "weights.npy", weights)
    return Material(folder, pixels, open_engine(network).logits(pixels, weights))


@pytest.fixture(scope="session")
def _faults_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that the faulty cards obey."""
    path = tmp_path_factory.mktemp("faults") / "faults.json"
    os.environ[ENVIRONMENT] = str(path)
    yield path
    del os.environ[ENVIRONMENT]


@pytest.fixture
def faults(_faults_file: Path) -> Iterator[Callable[..., None]]:
    """faults({"fault": "hang"}): what the cards do from now on."""
    inject(_faults_file)
    yield lambda *faults: inject(_faults_file, *faults)
    inject(_faults_file)


@pytest.fixture
def serve(
    material: Material, faults: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ModelInstance]]:
    """serve(card=..., ...): a model instance; `place` says which. Closed at the end."""
    assert faults
    monkeypatch.setenv("RESNET50_SERVER_RUNTIME", str(tmp_path / "runtime"))
    with ExitStack() as stack:

        def make(place: InstanceInfo | None = None, **values: str) -> ModelInstance:
            given = {
                "xclbin": str(material.folder / "card.xclbin"),
                "fcweights": str(material.folder / "weights.npy"),
                "card": "faulty:90",
                "kernel_batch_size": "4",
                "failover_wait_s": "off",
                "kernel_timeout_s": "20",  # the machine may be busy; a test of hangs says how long it waits
                **values,
            }
            config = {"parameters": {name: {"string_value": value} for name, value in given.items()}}
            parsed = read_parameters(RESNET50, config, tmp_path)
            return stack.enter_context(ModelInstance(parsed, place or InstanceInfo("test", "1"), 8))

        yield make


@pytest.fixture
def answers(material: Material) -> Answers:
    return Answers(material)
