"""The pipeline of `infer` on a card that the test holds: what overlaps, what is bounded, and how it fails."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from heldcard import HeldCard
from PIL import Image
from resnet50_triton import cards
from resnet50_triton.cards import open_card
from resnet50_triton.errors import CardError, CardTimeout
from resnet50_triton.network.parameters import Network
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.standalone.pipeline import BUFFER_SETS, classify
from resnet50_triton.standalone.timestamps import Stamps
from resnet50_triton.xclbin.kernel_info import read_xclbin, write_xclbin

FILES = 40
_indexes = itertools.count()


@pytest.fixture(scope="session")
def ranking_image(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's network with the published kernel's output: five class ids."""
    path = tmp_path_factory.mktemp("image") / "top5.xclbin"
    write_xclbin(path, Network.from_bytes(read_xclbin(sample / "card.xclbin").network_bytes()), "top5")
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
def kernel(held: HeldCard, ranking_image: Path) -> Iterator[Kernel]:
    weights = np.zeros((1000, 2048), np.int8)
    with Kernel(ranking_image, weights, held.tag, 2, timeout_s=30, buffer_sets=BUFFER_SETS) as kernel:
        held.sent = 0  # the weights
        yield kernel


def test_files_are_answered_in_order(kernel: Kernel, greys: list[Path]) -> None:
    outcomes = classify(kernel, greys, workers=3)
    assert [outcome.path for outcome in outcomes] == greys
    assert [outcome.classes for outcome in outcomes] == [(grey,) * 5 for grey in range(1, FILES + 1)]


def test_batches_are_sent_while_the_card_works(kernel: Kernel, held: HeldCard, greys: list[Path]) -> None:
    held.needed = BUFFER_SETS
    outcomes = classify(kernel, greys, workers=2)
    assert not any(outcome.error for outcome in outcomes)
    first_end_s = outcomes[0].stamps.inference_end
    for outcome in outcomes[2 : BUFFER_SETS * 2]:
        assert outcome.stamps.upload_end < first_end_s
    # What waits in memory meanwhile is bounded: in the sets, one batch about to be copied, and what is decoded ahead.
    begun = sum(outcome.stamps.start < first_end_s for outcome in outcomes)
    assert BUFFER_SETS * 2 <= begun <= BUFFER_SETS * 2 + 2 + (2 + 2) < FILES


def test_the_times_of_an_image_are_in_order(kernel: Kernel, greys: list[Path]) -> None:
    for outcome in classify(kernel, greys, workers=2):
        times = list(vars(outcome.stamps).values())
        assert len(times) == 7
        assert times == sorted(times)
        assert times[0] > 0


def test_derived_times() -> None:
    row = Stamps(1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 127.0).row()
    assert {name: row[name] for name in list(row)[7:]} == {
        "Total Latency": 126.0,
        "Preprocessing Time": 2.0,
        "Upload Time": 4.0,
        "Accelerator Time": 16.0,
        "Download Time": 64.0,
        "Inference Time": 124.0,
    }


def test_bad_files_leave_no_gap(kernel: Kernel, greys: list[Path], tmp_path: Path) -> None:
    bad = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    bad[0].write_bytes(b"")
    bad[1].write_bytes(greys[0].read_bytes()[:30])
    files = [bad[0], *greys[:3], bad[1], bad[2], greys[3]]  # c.png does not exist
    outcomes = classify(kernel, files, workers=2)
    assert [outcome.classes[:1] for outcome in outcomes] == [(), (1,), (2,), (3,), (), (), (4,)]
    assert [bool(outcome.error) for outcome in outcomes] == [True, False, False, False, True, True, False]


def test_only_bad_files(kernel: Kernel, held: HeldCard, tmp_path: Path) -> None:
    outcomes = classify(kernel, [tmp_path / "none.png"] * 9, workers=2)
    assert all(outcome.error for outcome in outcomes)
    assert held.starts == 0


def test_a_start_that_fails_ends_the_run(kernel: Kernel, held: HeldCard, greys: list[Path]) -> None:
    held.fails_at = 3
    before = threading.active_count()
    with pytest.raises(CardError, match="made by the test"):
        classify(kernel, greys, workers=2)
    assert threading.active_count() == before
    assert held.starts == 3


def test_a_card_that_hangs_ends_the_run_in_time(kernel: Kernel, held: HeldCard, greys: list[Path]) -> None:
    held.hangs = True
    kernel.timeout_s = 0.3
    with pytest.raises(CardTimeout, match=r"2 images took longer than 0\.3 s"):
        classify(kernel, greys, workers=2)
    with held.changed:
        held.hangs = False
        held.changed.notify_all()
