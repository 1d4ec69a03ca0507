"""The LoadGen benchmark: the search for a rate, and LoadGen itself against a sender that answers at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.loadgen.search import confirm, highest_rate

pytest.importorskip("mlperf_loadgen", reason="no mlcommons-loadgen (pip install --group dev)")
from benchmarks.loadgen.scenarios import LoadGen
from benchmarks.loadgen.senders import Done


@pytest.mark.parametrize("limit", [3.0, 50.0, 99.0])
def test_the_search_closes_in_on_the_limit_from_below(limit: float) -> None:
    found = highest_rate(lambda rate: rate <= limit, 100, 6)
    assert limit - 100 / 2**6 <= found <= limit


def test_a_server_that_never_passes_has_no_rate() -> None:
    assert highest_rate(lambda _: False, 100, 6) == 0
    assert confirm(lambda _: True, 0) == 0
    assert confirm(lambda _: False, 80) == 0


def test_a_rate_that_passed_by_chance_goes_down_until_it_holds() -> None:
    assert confirm(lambda rate: rate < 70, 80) == pytest.approx(80 * 0.9**2)


class AtOnce:
    """Answers with the picture's number as its class; or fails every second picture."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails

    def send(self, ids: Sequence[int], pictures: Sequence[int], done: Done) -> None:
        for number, picture in zip(ids, pictures, strict=True):
            failed = self.fails and picture % 2
            done([number], [-1 if failed else picture], "refused" if failed else None)

    def close(self) -> None: ...


def test_each_scenario_tells_its_figure() -> None:
    loadgen = LoadGen(AtOnce(fails=False), pictures=10)
    single = loadgen.single_stream(0.2)
    assert 0 < single.seconds("50.00") < 0.01
    assert loadgen.offline(0.1, 100).log["result_samples_per_second"] > 100
    server = loadgen.server(0.2, rate=1000, latency_s=0.015)
    assert server.log["result_query_count"] >= 100
    assert server.seconds("50.00") < 0.015
    assert not server.failed


def test_the_classes_come_back_through_loadgens_log() -> None:
    outcome = LoadGen(AtOnce(fails=False), pictures=7).accuracy()
    assert outcome.classes == {picture: picture for picture in range(7)}


def test_failures_are_counted_for_loadgen_does_not_know_of_them() -> None:
    outcome = LoadGen(AtOnce(fails=True), pictures=7).accuracy()
    assert (outcome.failed, outcome.error) == (3, "refused")
    assert outcome.classes[1] == -1
