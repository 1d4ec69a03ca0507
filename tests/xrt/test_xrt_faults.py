"""The card xrt:0 with a device process that is killed, hangs, is slow, or answers wrongly: no call ever hangs.

What these cannot show is in docs/real-card.md.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from xrt_bench import Bench, BenchOf, Outcome

HERE = Path(__file__).resolve().parent
TIMEOUT_S = 1.0
SERVER_TIMEOUT_S = 5.0  # within it, a busy machine has to run the batches that a model is loaded with
# Later than its deadline by so much, a call counts as hanging: what it waits for never happens, so that any limit would
# show it, and a busy machine stays far below this one.
SLACK_S = 20.0
UNAVAILABLE = "StatusCode.UNAVAILABLE"
# Triton 2.51 may abort at its end where a model's process was held up for seconds, as beside a load of 25; once, beside
# one of 8, a thread of its own still waited on what had been freed.
ENDS = (0, -signal.SIGABRT, -signal.SIGSEGV)

Steps = dict[str, tuple[str, float]]  # outcome and duration by name; the last where there are several


@pytest.fixture
def bench(random_bench: BenchOf) -> Iterator[Bench]:
    """With a new device process afterwards."""
    bench = random_bench("logits")
    yield bench
    bench.kill_model()
    bench.set_fault(None)
    bench.start_model()


def misbehave(
    bench: Bench, program: str, fault: str, *arguments: Path, timeout_s: float = TIMEOUT_S, until: str | None = None
) -> tuple[Outcome, Steps]:
    """How the program ended, and its steps."""
    words = (HERE / program, fault, str(timeout_s), *arguments)
    outcome = bench.run("-W", "ignore", *words, timeout_s=400, until=until)
    steps = [json.loads(line) for line in outcome.output.splitlines() if line.startswith("{")]
    found = {step["step"]: (step["outcome"], step["duration_s"]) for step in steps}
    assert found.get("before", ("nothing",))[0] == "right", outcome
    return outcome, found


@pytest.mark.parametrize("fault", ["hang", "kill", "hold"])
def test_the_deadline_holds(bench: Bench, fault: str) -> None:
    outcome, steps = misbehave(bench, "fault_program.py", fault)
    assert outcome.code == 0, outcome
    message, duration_s = steps["during"]
    assert message == "CardTimeout: card 'xrt:0': 2 images took longer than 1 s"
    assert TIMEOUT_S <= duration_s < TIMEOUT_S + SLACK_S
    message, duration_s = steps["at once"]
    assert message.startswith("CardError: card 'xrt:0': ")
    assert duration_s < TIMEOUT_S + SLACK_S
    if fault == "hold":
        assert steps["after"][0] == "right"


def test_slower_within_the_deadline_is_right(bench: Bench) -> None:
    _, steps = misbehave(bench, "fault_program.py", "slow 0.5", timeout_s=30)
    outcome, duration_s = steps["during"]
    assert outcome == "right"
    assert duration_s >= 0.5


def test_wrong_results_come_through(bench: Bench) -> None:
    """One start alone cannot tell: that takes a selftest image or a cross_check check."""
    outcome, steps = misbehave(bench, "fault_program.py", "wrong")
    assert outcome.code == 0, outcome
    assert [steps[name][0] for name in ("during", "at once", "after")] == ["wrong", "wrong", "right"]


def test_noise_on_the_wire_gives_no_result(bench: Bench) -> None:
    """XRT's emulation asserts that answers are well formed and aborts; now and then it hangs in that."""
    outcome, steps = misbehave(bench, "fault_program.py", "noise", until="Assertion")
    assert outcome.code != 0
    assert list(steps) == ["before"]
    assert "Assertion" in outcome.output


@pytest.mark.server
@pytest.mark.parametrize("fault", ["hang", "hold", "wrong"])
def test_the_server_recovers_the_card(bench: Bench, tmp_path: Path, fault: str) -> None:
    """The card is closed, opened, programmed and tried again through XRT; no wrong result gets out."""
    if bench.native and fault == "hang":
        pytest.skip("pyxrt cannot end a run: the card is had again only after a reset by XRT's own tool")
    if not bench.native and fault == "hold":
        pytest.skip("XRT's emulation may wait for ever when it closes a card whose run ends meanwhile")
    outcome, steps = misbehave(bench, "server_fault_program.py", fault, tmp_path, timeout_s=SERVER_TIMEOUT_S)
    assert outcome.code == 0, outcome
    # Of a wrong batch the right results are known: it was computed once more to be found wrong.
    assert steps["during"][0] == ("right" if fault == "wrong" else UNAVAILABLE)
    assert steps["during"][1] < SERVER_TIMEOUT_S + SLACK_S
    assert steps["at once"][0] == UNAVAILABLE
    assert steps["after"][0] == "right"
    assert steps["end"][0] in ENDS
    assert "card 'xrt:0' works again after" in (tmp_path / "server.log").read_text()


@pytest.mark.server
def test_the_server_answers_without_its_card(bench: Bench, tmp_path: Path) -> None:
    """XRT's emulation never comes back from a device process that has gone, but no request waits for it."""
    outcome, steps = misbehave(bench, "server_fault_program.py", "kill", tmp_path, timeout_s=SERVER_TIMEOUT_S)
    assert outcome.code == 0, outcome
    for step in ("during", "at once", "after"):
        assert steps[step][0] == UNAVAILABLE
        assert steps[step][1] < SERVER_TIMEOUT_S + SLACK_S
    assert steps["end"][0] in ENDS
