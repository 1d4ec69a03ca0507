"""The card xrt:0 with a device process that is killed, hangs, is slow, or answers wrongly: no call ever hangs.

What these cannot show is in docs/real-card.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from xrt_bench import Bench, BenchOf, Outcome

PROGRAM = Path(__file__).resolve().parent / "fault_program.py"
TIMEOUT_S = 1.0
SLACK_S = 0.5  # how much later than its deadline a call may end on a busy machine


@pytest.fixture
def bench(random_bench: BenchOf) -> Iterator[Bench]:
    """With a new device process afterwards."""
    bench = random_bench("logits")
    yield bench
    bench.kill_model()
    bench.set_fault(None)
    bench.start_model()


def misbehave(bench: Bench, fault: str) -> tuple[Outcome, dict[str, tuple[str, float]]]:
    """How the program ended; outcome and duration of each of its steps."""
    outcome = bench.run("-W", "ignore", PROGRAM, fault, str(TIMEOUT_S), timeout_s=60)
    steps = [json.loads(line) for line in outcome.output.splitlines() if line.startswith("{")]
    found = {step["step"]: (step["outcome"], step["duration_s"]) for step in steps}
    assert found["before"][0] == "right", outcome
    return outcome, found


@pytest.mark.parametrize("fault", ["hang", "kill", "slow 2"])
def test_the_deadline_holds(bench: Bench, fault: str) -> None:
    outcome, steps = misbehave(bench, fault)
    assert outcome.code == 0, outcome
    message, duration_s = steps["during"]
    assert message == "CardTimeout: card 'xrt:0': 2 images took longer than 1 s"
    assert TIMEOUT_S <= duration_s < TIMEOUT_S + SLACK_S
    message, duration_s = steps["at once"]
    assert message.startswith("CardError: card 'xrt:0': ")
    assert duration_s < TIMEOUT_S + SLACK_S


def test_a_slow_card_is_used_again(bench: Bench) -> None:
    _, steps = misbehave(bench, "slow 2")
    assert steps["after"][0] == "right"


def test_slower_within_the_deadline_is_right(bench: Bench) -> None:
    _, steps = misbehave(bench, "slow 0.5")
    outcome, duration_s = steps["during"]
    assert outcome == "right"
    assert duration_s >= 0.5


def test_wrong_results_come_through(bench: Bench) -> None:
    """One start alone cannot tell: that takes a canary image or a shadow check."""
    outcome, steps = misbehave(bench, "wrong")
    assert outcome.code == 0, outcome
    assert [steps[name][0] for name in ("during", "at once", "after")] == ["wrong", "wrong", "right"]


def test_noise_on_the_wire_gives_no_result(bench: Bench) -> None:
    """XRT's emulation asserts that answers are well formed, and ends the program."""
    outcome, steps = misbehave(bench, "noise")
    assert outcome.code not in (None, 0)
    assert list(steps) == ["before"]
    assert "Assertion" in outcome.output
