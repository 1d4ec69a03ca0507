"""The pipeline of `infer` on a card that the test holds: what overlaps, what is bounded, and how it fails."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from heldcard import HeldCard
from PIL import Image
from resnet50_triton import cards
from resnet50_triton.cards import open_card
from resnet50_triton.errors import CardError
from resnet50_triton.network.parameters import Network
from resnet50_triton.runtime.directory import process_key
from resnet50_triton.runtime.instance import InstanceInfo, ModelInstance
from resnet50_triton.standalone.pipeline import classify
from resnet50_triton.standalone.timestamps import Timestamps
from resnet50_triton.triton.parameters import RESNET50, default_values
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin

FILES = 40
BUFFER_SETS = 3
_indexes = itertools.count()


@pytest.fixture(scope="session")
def ranking_xclbin(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's network with the published kernel's output: five class ids."""
    path = tmp_path_factory.mktemp("xclbin") / "top5.xclbin"
    write_xclbin(path, Network.from_bytes(read_xclbin(sample / "card.xclbin").network_bytes()), "top5")
    # As one of an FPGA, whose network nobody knows here: the held card computes another.
    path.write_bytes(path.read_bytes().replace(b'target="software"', b'target="hw"      '))
    return path


@pytest.fixture(scope="session")
def greys(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """PNGs of one grey each, 1, 2, 3, ..."""
    folder = tmp_path_factory.mktemp("greys")
    paths = [folder / f"{grey:03}.png" for grey in range(1, FILES + 1)]
    for grey, path in enumerate(paths, start=1):
        Image.new("L", (8, 8), grey).save(path)
    return paths


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> HeldCard:
    monkeypatch.setitem(cards.KINDS, "held", "heldcard")
    card = open_card(f"held:{next(_indexes)}")
    assert isinstance(card, HeldCard)
    return card


@pytest.fixture
def instance(held: HeldCard, ranking_xclbin: Path, tmp_path: Path) -> Iterator[ModelInstance]:
    np.save(tmp_path / "weights.npy", np.zeros((1000, 2048), np.int8))
    given = {
        "xclbin": ranking_xclbin,
        "fcweights": tmp_path / "weights.npy",
        "card": held.tag,
        "kernel_timeout_s": 1.0,
        "failover_wait_s": 30.0,
    }
    info = InstanceInfo("infer", process_key(os.getpid()), kind="command")
    with ModelInstance({**default_values(RESNET50), **given}, info, 2) as made:
        held.sent = held.runs = 0  # the self-test's
        yield made


def test_files_are_answered_in_order(instance: ModelInstance, greys: list[Path]) -> None:
    outcomes = classify(instance, greys, 3, 2)
    assert [outcome.path for outcome in outcomes] == greys
    assert [outcome.classes for outcome in outcomes] == [(grey,) * 5 for grey in range(1, FILES + 1)]


def test_batches_are_sent_while_the_card_works(instance: ModelInstance, held: HeldCard, greys: list[Path]) -> None:
    held.needed = BUFFER_SETS
    outcomes = classify(instance, greys, 2, 2)
    assert not any(outcome.error for outcome in outcomes)
    first_end_s = outcomes[0].timestamps.inference_end
    for outcome in outcomes[2 : BUFFER_SETS * 2]:
        assert outcome.timestamps.upload_end < first_end_s
    # What waits in memory meanwhile is bounded: in the sets, one batch about to be copied, and what is decoded ahead.
    begun = sum(outcome.timestamps.start < first_end_s for outcome in outcomes)
    assert BUFFER_SETS * 2 <= begun <= BUFFER_SETS * 2 + 2 + (2 + 2) < FILES


def test_the_times_of_an_image_are_in_order(instance: ModelInstance, greys: list[Path]) -> None:
    for outcome in classify(instance, greys, 2, 2):
        times = list(vars(outcome.timestamps).values())
        assert len(times) == 7
        assert times == sorted(times)
        assert times[0] > 0


def test_derived_times() -> None:
    row = Timestamps(1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 127.0).row()
    assert {name: row[name] for name in list(row)[7:]} == {
        "Total Latency": 126.0,
        "Preprocessing Time": 2.0,
        "Upload Time": 4.0,
        "Accelerator Time": 16.0,
        "Download Time": 64.0,
        "Inference Time": 124.0,
    }


def test_bad_files_leave_no_gap(instance: ModelInstance, greys: list[Path], tmp_path: Path) -> None:
    bad = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    bad[0].write_bytes(b"")
    bad[1].write_bytes(greys[0].read_bytes()[:30])
    files = [bad[0], *greys[:3], bad[1], bad[2], greys[3]]  # c.png does not exist
    outcomes = classify(instance, files, 2, 2)
    assert [outcome.classes[:1] for outcome in outcomes] == [(), (1,), (2,), (3,), (), (), (4,)]
    assert [bool(outcome.error) for outcome in outcomes] == [True, False, False, False, True, True, False]


def test_only_bad_files(instance: ModelInstance, held: HeldCard, tmp_path: Path) -> None:
    outcomes = classify(instance, [tmp_path / "none.png"] * 9, 2, 2)
    assert all(outcome.error for outcome in outcomes)
    assert held.runs == 0


def test_a_run_that_fails_is_run_again(instance: ModelInstance, held: HeldCard, greys: list[Path]) -> None:
    held.fails_at = 3
    outcomes = classify(instance, greys, 2, 2)
    assert [outcome.classes for outcome in outcomes] == [(grey,) * 5 for grey in range(1, FILES + 1)]
    assert instance.metrics.value("resnet50_recoveries_total", card=held.tag) == 1


def test_a_card_that_stays_bad_ends_the_run(instance: ModelInstance, held: HeldCard, greys: list[Path]) -> None:
    held.fails_from = 3
    with pytest.raises(CardError, match="made by the test"):
        classify(instance, greys, 2, 2)
