"""The figures of an accuracy run, against published values and the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resnet50_client.accuracy import (
    MISTAKES_KEPT,
    Judged,
    Proportion,
    Tally,
    wilson_interval,
)
from resnet50_client.prediction import Candidate, Prediction, rank_logits
from resnet50_client.report import printable, shorten


# R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I,
# "score, no continuity correction".
@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_the_published_one(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(hits, trials) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 60_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_bounds_are_where_the_score_test_tips(case: tuple[int, int]) -> None:
    """The interval's definition: at each bound p, the observed share is z standard errors of p away."""
    hits, trials = case
    low, high = wilson_interval(hits, trials, z=1.96)
    assert 0 <= low <= hits / trials <= high <= 1
    for bound in (low, high):
        if 0 < bound < 1:
            distance = abs(hits / trials - bound) / math.sqrt(bound * (1 - bound) / trials)
            assert distance == pytest.approx(1.96, rel=1e-6)


def test_nothing_tried_is_nothing_known() -> None:
    assert Proportion(0, 0).interval == (0.0, 1.0)
    assert math.isnan(Proportion(0, 0).share)


def prediction(*class_ids: int, source: str = "dir/a b.jpg") -> Prediction:
    return Prediction(source, tuple(Candidate(i) for i in class_ids))


def test_every_image_is_counted_once() -> None:
    tally = Tally()
    tally.add(Judged(prediction(3, 1, 2, 4, 5), 3))
    tally.add(Judged(prediction(3, 1, 2, 4, 5), 5))
    tally.add(Judged(prediction(3, 1, 2, 4, 5, 6), 6))  # sixth: outside the top five
    tally.add(Judged(prediction(3, 1, 2, 4, 5), 0))
    tally.add(Judged(prediction(3, 1, 2, 4, 5, source="stranger.jpg"), None))
    tally.add(Judged(Prediction("labelled.jpg", error="broken"), 3))
    tally.add(Judged(Prediction("not labelled.jpg", error="broken too"), None))
    assert (tally.top1, tally.top5) == (Proportion(1, 4), Proportion(2, 4))
    assert list(tally.unlabelled) == ["stranger.jpg"]
    assert list(tally.failed) == [("labelled.jpg", "broken"), ("not labelled.jpg", "broken too")]
    assert tally.images == 7
    assert tally.answered == 5


@pytest.mark.parametrize(
    ("judged", "verdict"),
    [
        (Judged(prediction(1, 2), 1), "right"),
        (Judged(prediction(1, 2), 2), "wrong"),
        (Judged(prediction(1, 2), None), "unlabelled"),
        (Judged(Prediction("x", error="no"), 1), "failed"),
    ],
)
def test_verdicts(judged: Judged, verdict: str) -> None:
    assert judged.verdict == verdict


def test_equal_scores_rank_by_class_id() -> None:
    logits = np.array([5, -3, 9, 9, 5, 9], dtype=np.float32)
    ranked = rank_logits(logits, 5, {2: "two"})
    assert [c.class_id for c in ranked] == [2, 3, 5, 0, 4]
    assert [c.score for c in ranked] == [9, 9, 9, 5, 5]
    assert [c.name for c in ranked] == ["two", None, None, None, None]


@given(st.text())
def test_no_file_name_drives_the_terminal(text: str) -> None:
    """Whatever a name contains, what is printed is printable and keeps to its column."""
    assert printable(text).isprintable()
    assert len(shorten(text, 10)) <= 10


def test_classes_and_confusions_are_counted() -> None:
    tally = Tally()
    for label, answer, margin in [(1, 1, 5), (1, 1, 6), (1, 2, 7), (3, 2, 9), (3, 2, 8)]:
        candidates = (Candidate(answer), Candidate(99))
        tally.add(Judged(Prediction(f"{label} {margin}", candidates, margin), label, f"name {label}"))
    assert [(label, c.name, c.right, c.scored) for label, c in tally.worst_classes] == [
        (3, "name 3", 0, 2),
        (1, "name 1", 2, 3),
    ]
    assert tally.confusion == {(1, 2): 1, (3, 2): 2}
    assert [judged.prediction.source for judged in tally.mistakes] == ["3 9", "3 8", "1 7"]
    assert {right: list(margins) for right, margins in tally.margins.items()} == {True: [5, 6], False: [7, 9, 8]}


def test_only_the_surest_mistakes_are_kept() -> None:
    tally = Tally()
    for margin in range(MISTAKES_KEPT + 50):
        tally.add(Judged(Prediction(str(margin), (Candidate(1), Candidate(2)), margin), 2))
    assert [j.prediction.margin for j in tally.mistakes] == list(range(MISTAKES_KEPT + 49, 49, -1))


def test_where_answers_came_from_is_counted() -> None:
    tally = Tally()
    for card, uuid in [("xrt:0", "a"), ("xrt:1", "a"), ("xrt:1", "b")]:
        origin = {"card": card, "xclbin_uuid": uuid, "version": "1"}
        tally.add(Judged(Prediction("x", (Candidate(1),), provenance=origin), 1))
    tally.add(Judged(Prediction("x", (Candidate(1),)), 1))  # one that does not say
    assert tally.cards == {"xrt:0": 1, "xrt:1": 2}
    assert tally.card_images == {"a": 2, "b": 1}
