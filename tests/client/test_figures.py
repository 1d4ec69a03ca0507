"""The figures of an accuracy run, against published values and the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from resnet50_client.accuracy import (
    MISTAKES_KEPT,
    AccuracyCounts,
    Proportion,
    ScoredPrediction,
    wilson_interval,
)
from resnet50_client.prediction import Candidate, Prediction, Provenance, rank_logits
from resnet50_client.results import Results
from resnet50_client.screen import printable, shorten


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


def counts_of(*answers: tuple[Prediction, int | None], names: dict[int, str] | None = None) -> AccuracyCounts:
    """The figures of a run with these answers and labels."""
    results = Results()
    results.begin(((prediction.source, label) for prediction, label in answers), {}, resume=False)
    results.name_classes(names or {})
    for position, (prediction, _) in enumerate(answers):
        results.record(position, prediction)
    return AccuracyCounts(results.db)


def test_every_image_is_counted_once() -> None:
    counts = counts_of(
        (prediction(3, 1, 2, 4, 5), 3),
        (prediction(3, 1, 2, 4, 5), 5),
        (prediction(3, 1, 2, 4, 5, 6), 6),  # sixth: outside the top five
        (prediction(3, 1, 2, 4, 5), 0),
        (prediction(3, 1, 2, 4, 5, source="stranger.jpg"), None),
        (Prediction("labelled.jpg", error="broken"), 3),
        (Prediction("not labelled.jpg", error="broken too"), None),
        (Prediction("no fault of its own.jpg", error="stub", is_server_fault=True), 3),  # is no answer
    )
    assert (counts.top1, counts.top5) == (Proportion(1, 4), Proportion(2, 4))
    assert list(counts.unlabelled) == ["stranger.jpg"]
    assert list(counts.failed) == [("labelled.jpg", "broken"), ("not labelled.jpg", "broken too")]
    assert counts.images == 7
    assert counts.answered == 5


@pytest.mark.parametrize(
    ("scored", "verdict"),
    [
        (ScoredPrediction(prediction(1, 2), 1), "right"),
        (ScoredPrediction(prediction(1, 2), 2), "wrong"),
        (ScoredPrediction(prediction(1, 2), None), "unlabelled"),
        (ScoredPrediction(Prediction("x", error="no"), 1), "failed"),
    ],
)
def test_verdicts(scored: ScoredPrediction, verdict: str) -> None:
    assert scored.verdict == verdict


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
    counts = counts_of(
        *(
            (Prediction(f"{label} {margin}", (Candidate(answer), Candidate(99)), margin), label)
            for label, answer, margin in [(1, 1, 5), (1, 1, 6), (1, 2, 7), (3, 2, 9), (3, 2, 8)]
        ),
        names={1: "name 1", 3: "name 3"},
    )
    assert [(label, c.name, c.right, c.scored) for label, c in counts.worst_classes] == [
        (3, "name 3", 0, 2),
        (1, "name 1", 2, 3),
    ]
    assert counts.confusion == {(1, 2): 1, (3, 2): 2}
    assert counts.mistakes == [("3 9", 3, 2, 9), ("3 8", 3, 2, 8), ("1 7", 1, 2, 7)]
    assert {right: list(margins.numbers()) for right, margins in counts.margins.items()} == {
        True: [5, 6],
        False: [7, 9, 8],
    }


def test_only_the_surest_mistakes_are_shown() -> None:
    margins = range(MISTAKES_KEPT + 50)
    counts = counts_of(*((Prediction(str(i), (Candidate(1), Candidate(2)), i), 2) for i in margins))
    assert [margin for *_, margin in counts.mistakes] == list(range(MISTAKES_KEPT + 49, 49, -1))


def test_where_answers_came_from_is_counted() -> None:
    answers = []
    for card, uuid in [("xrt:0", "a"), ("xrt:1", "a"), ("xrt:1", "b")]:
        told = Provenance(card, 1, *range(7), runs=1)
        answers.append((Prediction("x", (Candidate(1),), xclbin_uuid=uuid, provenance=told), 1))
    counts = counts_of(*answers, (Prediction("x", (Candidate(1),)), 1))  # one of a server that does not say
    assert counts.cards == {"xrt:0": 1, "xrt:1": 2}
    assert counts.xclbins == {"a": 2, "b": 1}


def test_provenance_is_read_as_the_server_writes_it() -> None:
    uuid = "f123456789abcdef8000000000000001"  # both halves are negative as signed numbers
    halves = np.array([int(uuid[:16], 16), int(uuid[16:], 16)], np.uint64).view(np.int64).tolist()
    told, read = Provenance.from_tensor([4, 2, *halves, 32, *range(100, 107), 1])
    assert read == uuid
    assert (told.card, told.is_emulated, told.batch_size, told.runs) == ("xrt:2", True, 32, 1)
    assert (told.received_ns, told.upload_start_ns, told.kernel_end_ns, told.download_end_ns) == (100, 101, 104, 106)
    assert Provenance.from_tensor([1, 0, 0, 0, 1, *range(7), 1])[1] == "0" * 32
    with pytest.raises(ValueError, match="12 values where 13"):
        Provenance.from_tensor([1, 0, 0, 0, 1, *range(6), 1])
