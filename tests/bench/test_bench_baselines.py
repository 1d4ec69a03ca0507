"""The comparison with baselines: what is tried, and when ours counts as ahead."""

from __future__ import annotations

from benchmarks.baselines.__main__ import LOADS, OURS, VARIANTS, Load, candidates, compare, is_ahead
from benchmarks.common.perf_analyzer import Point


def point(images_per_s: float, p99_ms: float) -> Point:
    return Point(images_per_s, p50_s=0.001, p99_s=p99_ms / 1e3, client_cpu_s=0.1, mean_s=0.001)


def line(ours: list[Point], **baselines: list[Point]) -> dict:
    return compare(Load(1, 8), {OURS: ours, **baselines})


def test_every_load_has_several_ways_to_serve_a_baseline() -> None:
    for load in LOADS:
        for engine in ("openvino", "onnxruntime"):
            tried = candidates(load, engine)
            assert tried
            assert all(v.engine == engine and v.max_batch >= load.batch for v in tried)
    assert {v for load in LOADS for e in ("openvino", "onnxruntime") for v in candidates(load, e)} == set(VARIANTS)


def test_one_request_at_a_time_needs_no_second_largest_batch() -> None:
    assert len({v.max_batch for v in candidates(Load(1, 1), "openvino")}) == 1
    assert len({v.max_batch for v in candidates(Load(1, 32), "openvino")}) == 2


def test_ahead_is_more_images_at_no_longer_p99() -> None:
    assert is_ahead(line([point(200, 40)], openvino=[point(100, 80)], onnxruntime=[point(90, 40)]))
    assert not is_ahead(line([point(200, 41)], openvino=[point(100, 80)], onnxruntime=[point(90, 40)]))
    assert not is_ahead(line([point(99, 10)], openvino=[point(100, 80)], onnxruntime=[point(90, 40)]))


def test_the_ratio_is_of_rounds_side_by_side_and_of_the_faster_baseline() -> None:
    # A neighbour took half of everything in the second round.
    found = line(
        [point(200, 10), point(100, 20), point(220, 10)],
        openvino=[point(100, 20), point(50, 40), point(100, 20)],
        onnxruntime=[point(80, 20), point(40, 40), point(80, 20)],
    )
    assert found["best_baseline"] == "openvino"
    assert found["ratio"] == 2
    assert found["contenders"][OURS]["images_per_s"] == 200
    assert len(found["contenders"]["onnxruntime"]["rounds"]) == 3
