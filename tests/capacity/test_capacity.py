"""The capacity model: results of queueing theory come out of the simulation, and plans meet their targets."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from resnet50_triton.capacity.model import Machine
from resnet50_triton.capacity.plan import best_rate, cores_for, plan
from resnet50_triton.capacity.simulation import simulate
from resnet50_triton.cli import main
from resnet50_triton.errors import BadParameter

ONE = Machine(run_s=0.9, image_s=0.1, max_batch=1)  # a run takes 1 s


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_card_without_batches_is_the_queue_m_d_1(load: float) -> None:
    result = simulate(ONE, load, 40_000)
    wait_s = load / (2 * (1 - load))  # Pollaczek and Khinchine, service time 1
    assert result.latencies_s.mean() - 1 == pytest.approx(wait_s, rel=0.1)
    assert result.busy == pytest.approx(load, rel=0.02)


def test_decoding_alone_is_the_queue_m_d_1() -> None:
    machine = replace(ONE, run_s=1e-6, image_s=0.0, decode_s=1.0)
    assert simulate(machine, 0.6, 30_000).latencies_s.mean() - 1 == pytest.approx(0.6 / (2 * 0.4), rel=0.1)


def test_two_cards_with_one_queue_are_the_queue_m_d_2() -> None:
    # Cosmetatos' approximation for M/D/c; one set a card, or the choice of a card comes before it is free.
    two = simulate(replace(ONE, cards=2, buffer_sets=1), 1.0, 40_000)
    markov_s = 0.5**2 / (1 - 0.5**2)  # M/M/2 at load 0.5
    wait_s = markov_s / 2 * (1 + 0.5 * (math.sqrt(4 + 5 * 2) - 2) / (16 * 0.5 * 2))
    assert two.latencies_s.mean() - 1 == pytest.approx(wait_s, rel=0.1)


@pytest.mark.parametrize("rate", [1200.0, 2000.0])
def test_batches_settle_where_a_start_brings_the_next(rate: float) -> None:
    # A card that never rests: E[b] = rate * (start + image * E[b]), exactly, by Wald's equation.
    machine = Machine()
    assert simulate(machine, rate, 30_000).batch == pytest.approx(machine.batch_at(rate), rel=0.05)


def test_an_overloaded_card_works_at_its_peak_and_the_signals_show_it() -> None:
    result = simulate(Machine(), 4000.0, 60_000)
    assert result.rate == pytest.approx(Machine().cards_peak, rel=0.01)
    assert result.batch == pytest.approx(128, rel=0.02)
    assert result.queue_per_kernel > 6 > simulate(Machine(), 2400.0, 5_000).wait_per_kernel


def test_decoding_bounds_the_machine() -> None:
    machine = Machine(cards=2, cores=2, decode_s=1e-3)
    assert machine.peak == 2000
    assert simulate(machine, 4000, 20_000).rate == pytest.approx(2000, rel=0.02)
    assert cores_for(replace(machine, cores=1)) == math.ceil(2 * 128 / 0.048704 * 1e-3 / 0.8)


def test_a_request_of_several_images_is_never_torn() -> None:
    result = simulate(Machine(request_images=8), 400.0, 5_000)
    assert result.batch >= 8
    assert np.min(result.latencies_s) == pytest.approx(1.6e-3 + 8 * 0.368e-3)


def test_the_paper_formula_and_its_inverse_agree() -> None:
    machine = Machine(cards=4, overhead_s=2e-3)
    for rate in (4000.0, 8000.0, 10000.0):
        assert machine.rate_at(machine.latency_at(rate)) == pytest.approx(rate)
    assert machine.rate_at(3e-3) == 0


def test_a_plan_meets_its_target_and_one_machine_less_does_not() -> None:
    machine = Machine(cards=2, cores=8, decode_s=1.2e-3, overhead_s=2e-3)
    made = plan(machine, 20_000, 0.04, image_bytes=110e3)
    assert made.simulated.percentile_s(99) <= 0.04
    assert made.bound <= made.machines
    assert simulate(machine, 20_000 / (made.machines - 1), 100_000).percentile_s(99) > 0.04
    assert made.as_dict()["network_bits_per_s"] == 20_000 * 110e3 * 8
    assert 27 < made.cards_w / made.cards < 71  # the published board power, idle to full


def test_a_target_that_nobody_can_meet_is_refused() -> None:
    with pytest.raises(BadParameter, match=r"a request takes 3\.97 ms on a machine that has nothing else to do"):
        best_rate(Machine(overhead_s=2e-3), 3e-3)


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["capacity", "--rate", "5000", "--latency-ms", "40", "--cards-per-machine", "2", "--json"])
    assert ended.value.code == 0
    told, steps = capsys.readouterr()
    made = json.loads(told)
    assert made["cards"] == 2 * made["machines"] >= 2
    assert made["simulated_latency_s"] <= 0.04
    assert "images/s a machine" in steps
