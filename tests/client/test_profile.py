"""Times of the stages, the bottleneck, and the trace file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from resnet50_client.prediction import Candidate, Prediction, Provenance, Times
from resnet50_client.profile import Profile, derive
from resnet50_client.trace import Trace

MS = 1_000_000
# Milliseconds: read until 2, at the card at 10, waits until 15, uploads to 18, computes 19 to 29, downloads 29 to 30.
CARD = {
    "received_ns": 10 * MS,
    "upload_start_ns": 15 * MS,
    "upload_end_ns": 18 * MS,
    "kernel_start_ns": 19 * MS,
    "kernel_end_ns": 29 * MS,
    "download_start_ns": 29 * MS,
    "download_end_ns": 30 * MS,
}
EXPECTED_MS = {
    "total": 32,
    "client": 2 + 2,
    "preprocessing": 8,
    "queue": 5,
    "upload": 3,
    "accelerator": 10,
    "download": 1,
    "inference": 15,
}


def prediction(clock_ms: int = 0, slot: int = 0, batch: int = 1, card: str = "xrt:0", **extra: Any) -> Prediction:
    """An image that was answered at 32 ms, by a card whose clock is ahead."""
    told = Provenance(card, batch, **{name: at + clock_ms * MS for name, at in CARD.items()}, runs=1)
    times = Times(0, 2 * MS, 32 * MS, slot)
    return Prediction("a.jpg", (Candidate(1),), server="grpc://x:1", provenance=told, times=times, **extra)


def in_ms(derived: dict[str, float]) -> dict[str, float]:
    return {name: round(1000 * seconds, 6) for name, seconds in derived.items()}


def test_the_seven_timestamps_make_the_times() -> None:
    derived = in_ms(derive(prediction()))
    assert derived == EXPECTED_MS
    parts = ("client", "preprocessing", "queue", "inference")
    assert sum(derived[name] for name in parts) == derived["total"]


@pytest.mark.parametrize("clock_ms", [-5000, 5000])
def test_a_clock_that_is_wrong_moves_only_the_way_back(clock_ms: int) -> None:
    derived = in_ms(derive(prediction(clock_ms)))
    assert derived == EXPECTED_MS | {"client": 2, "preprocessing": 8 + 2}


def test_without_the_cards_times_those_of_the_client_remain() -> None:
    bare = Prediction("a.jpg", (Candidate(1),), times=Times(0, 2 * MS, 32 * MS, 0))
    assert in_ms(derive(bare)) == {"total": 32, "client": 2}
    assert derive(Prediction("a.jpg", error="no", times=Times(0, 1, 2, 0))) == {}


def test_the_table_describes() -> None:
    profile = Profile()
    for milliseconds in (10, 20, 30, 40):
        profile.add(Prediction("a", (Candidate(1),), times=Times(0, 0, milliseconds * MS, 0)))
    (name, values), *_ = profile.table()
    # 12.909944 is the sample's standard deviation: the root of (225 + 25 + 25 + 225) / 3.
    assert name == "total"
    assert values == pytest.approx([4, 0.025, 0.012909944, 0.010, 0.0175, 0.025, 0.0325, 0.040])


def verdict(profile: Profile, run_s: float, cpu_s: float = 0.0, concurrency: int = 64) -> str:
    return profile.verdict(profile.busy(run_s, cpu_s), run_s, concurrency)


def test_a_batch_counts_its_card_time_once() -> None:
    profile = Profile()
    for _ in range(8):
        profile.add(prediction(batch=4))  # two batches of 10 ms
    assert profile.busy(0.040, 0.0)["card"] == pytest.approx(0.5)
    assert profile.mean_batch == pytest.approx(4)


def test_the_bottleneck_is_named_with_what_to_do() -> None:
    small, large, software = Profile(), Profile(), Profile()
    for _ in range(32):
        small.add(prediction(batch=1))
        large.add(prediction(batch=32))
        software.add(prediction(batch=32, card="software:0"))
    assert "the card, busy 100 % of the time: its batches hold 1.0 images" in verdict(small, 0.32)
    assert "the card, busy 80 % of the time: add a card" in verdict(large, 0.0125)
    assert "the card, busy 80 % of the time: it computes on the CPU" in verdict(software, 0.0125)
    assert "the client, busy 95 %" in verdict(large, 1.0, cpu_s=0.95)
    assert "too few images in flight (1 of 64)" in verdict(large, 1.0)
    assert "raise --concurrency; if that does not help, decoding is" in verdict(large, 1.0, concurrency=1)


def test_one_untold_answer_leaves_the_card_unknown() -> None:
    profile = Profile()
    for told in (True, False):
        profile.add(prediction() if told else Prediction("a", (Candidate(1),), times=Times(0, 0, MS, 0)))
    assert profile.busy(0.010, 0.001) == {"card": None, "client": pytest.approx(0.1)}
    assert verdict(profile, 0.010) == "the bottleneck is not known: it is not the client"
    assert "the client, busy 90 % of the time, unless the card is busier" in verdict(profile, 0.010, cpu_s=0.009)
    assert Profile().busy(1.0, 0.5) == {"card": None, "client": 0.5}  # no answer at all


def test_a_resumed_run_is_not_busy_with_what_was_done_before() -> None:
    profile = Profile(begun_ns=1)
    profile.add(prediction())
    assert profile.busy(0.0, 0.0) == {}
    assert profile.lines({}, 0.0, 64) == []
    assert profile.busy(1.0, 0.0) == {"card": None, "client": 0.0}
    assert dict(profile.table())["accelerator"][0] == 1


def test_the_trace_is_one_that_viewers_read(tmp_path: Path) -> None:
    with (tmp_path / "t.json").open("w") as file:
        trace = Trace(file)
        trace.add(prediction(slot=0, batch=2))
        trace.add(prediction(slot=1, batch=2))
        trace.add(prediction(clock_ms=7000, slot=2))
        trace.add(Prediction("bare.jpg", times=Times(0, MS, 2 * MS, 3)))
        trace.finish()
    events = json.loads((tmp_path / "t.json").read_text())
    drawn = [event for event in events if event["ph"] == "X"]
    first = {event["name"]: (event["ts"], event["dur"]) for event in drawn if event["pid"] == 1 and event["tid"] == 0}
    assert first == {
        "image": (0, 32000),
        "read": (0, 2000),
        "preprocessing": (2000, 8000),
        "queue": (10000, 5000),
        "card": (15000, 15000),
        "answer": (30000, 2000),
    }
    kernels = [(event["ts"], event["dur"]) for event in drawn if event["name"] == "kernel"]
    assert kernels == [(19000, 10000), (21000, 10000)]  # two images of one batch, and one whose clock is set right
    for event in drawn:  # each lane's events lie within its images
        if event["pid"] == 1:
            assert 0 <= event["ts"] <= event["ts"] + event["dur"] <= 32000
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} >= {"client", "xrt:0 at grpc://x:1", "kernel"}
