"""Cards that fail in every known way: each request is answered, rightly or with an error, and the card returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from helpers import wait_for
from resnet50_triton.errors import CardError, CardTimeout, WrongResult
from resnet50_triton.runtime.instance import ModelInstance
from resnet50_triton.runtime.queue import State
from runtime_support import Answers, works_again

Faults = Callable[..., None]
Serve = Callable[..., ModelInstance]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"fault": "hang"}, "took longer than"),
        ({"fault": "slow", "seconds": 3.0}, "took longer than"),
        ({"fault": "sync_to_device"}, "Flush Failed"),
        ({"fault": "sync_from_device"}, "Invalidate Failed"),
        ({"fault": "vanish", "seconds": 0.3}, "No such device"),
    ],
    ids=lambda value: value["fault"] if isinstance(value, dict) else "",
)
def test_a_fault_fails_its_requests_and_the_card_returns(
    serve: Serve, faults: Faults, answers: Answers, fault: dict[str, Any], words: str
) -> None:
    instance = serve(kernel_timeout_s="1.5")
    answers.send(instance, 4)
    answers.wait()
    faults(fault)
    begin_s = time.monotonic()
    answers.send(instance, 1, 2, 1)
    answers.wait()
    assert time.monotonic() - begin_s < 20  # the deadline is 1.5 s; nobody waits for the default's 120
    assert answers.errors
    for error in answers.errors:
        assert isinstance(error, CardError)
        assert words in str(error)
    works_again(instance, answers)


@pytest.mark.parametrize("fault", ["allocate", "program", "hang", "wrong"])
def test_a_card_that_fails_in_its_recovery_is_tried_again(
    serve: Serve, faults: Faults, answers: Answers, fault: str
) -> None:
    instance = serve(kernel_timeout_s="0.5")
    faults({"fault": "sync_from_device"}, {"fault": fault, "count": 1})
    answers.send(instance, 4)
    answers.wait()
    works_again(instance, answers)


def test_requests_meanwhile_are_refused_at_once(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve()
    faults({"fault": "sync_from_device"}, {"fault": "program", "count": 1})
    answers.send(instance, 4)
    answers.wait()
    wait_for(lambda: instance.scheduler.workers[0].queue.state is State.RECOVERING)
    begin_s = time.monotonic()
    answers.send(instance, 1)
    answers.wait()
    assert time.monotonic() - begin_s < 10  # not as long as a request may wait for a recovery
    assert "is recovering" in str(answers.errors[-1])
    assert instance.metrics.value("resnet50_refused_total", code="UNAVAILABLE") == 1
    assert not instance.scheduler.is_ready()
    works_again(instance, answers)
    assert instance.scheduler.is_ready()


def test_a_card_that_stays_bad_is_quarantined(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(recovery_attempts="2")
    faults({"fault": "sync_from_device"}, {"fault": "program", "count": 1000})
    answers.send(instance, 4)
    answers.wait()
    wait_for(lambda: instance.scheduler.workers[0].queue.state is State.QUARANTINED)
    answers.send(instance, 1)
    answers.wait()
    assert "EBUSY" in str(answers.errors[-1])
    assert "load the model again" in str(answers.errors[-1])
    assert not instance.scheduler.is_ready()


def test_the_other_card_goes_on(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(card="faulty:90,faulty:91", kernel_timeout_s="1", min_ready_cards="1")
    faults({"fault": "hang", "card": "faulty:91"}, {"fault": "program", "card": "faulty:91", "count": 1000})
    for _ in range(8):
        answers.send(instance, 4)
    answers.wait()
    assert answers.right >= 5  # the others were on the card that hung
    assert all(isinstance(error, CardTimeout) for error in answers.errors)
    assert instance.scheduler.is_ready()
    before = len(answers.errors)
    for _ in range(8):
        answers.send(instance, 4)
    answers.wait()
    assert len(answers.errors) == before


def test_min_ready_cards_decides_on_readiness(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(card="faulty:90,faulty:91", min_ready_cards="2", recovery_attempts="1")
    assert instance.scheduler.is_ready()
    faults({"fault": "sync_from_device"}, {"fault": "program", "count": 1})  # each card has its own count
    answers.send(instance, 4)
    answers.wait()
    wait_for(lambda: State.QUARANTINED in [worker.queue.state for worker in instance.scheduler.workers])
    assert not instance.scheduler.is_ready()


def test_a_card_that_cannot_be_loaded_does_not_keep_the_others_from_serving(
    serve: Serve, faults: Faults, answers: Answers
) -> None:
    faults({"fault": "program", "card": "faulty:91", "count": 2})
    instance = serve(card="faulty:90,faulty:91")
    answers.send(instance, 4, 4)
    answers.wait()
    assert answers.right == 2
    wait_for(lambda: instance.scheduler.ready_cards == 2)


def test_no_card_at_load_is_an_error(serve: Serve, faults: Faults) -> None:
    faults({"fault": "program"})
    with pytest.raises(CardError, match="EBUSY"):
        serve()
    serve()  # and nothing is left that would keep the next from loading


def test_silent_corruption_is_found_by_the_known_picture(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(selftest_interval_s="0.2")
    faults({"fault": "wrong", "count": 1})
    wait_for(lambda: instance.metrics.value("resnet50_selftest_mismatches_total", card="faulty:90") == 1)
    works_again(instance, answers)


def test_the_known_picture_is_run_under_load_too(serve: Serve, answers: Answers) -> None:
    instance = serve(selftest_interval_s="0.05")
    for _ in range(30):
        answers.send(instance, 1)
    answers.wait()
    assert answers.right == 30
    assert instance.metrics.value("resnet50_selftest_runs_total", card="faulty:90") >= 1


def test_the_cross_check_answers_with_the_right_results(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(cross_check_percent="100")
    faults({"fault": "wrong"})
    answers.send(instance, 4)
    answers.wait()
    assert answers.right == 1
    assert instance.metrics.value("resnet50_cross_check_mismatches_total", card="faulty:90") == 1
    works_again(instance, answers)


def test_a_wrong_card_is_not_loaded(serve: Serve, faults: Faults) -> None:
    faults({"fault": "wrong"})
    with pytest.raises(WrongResult, match="the self-test image came back with 1 of 1000 values wrong"):
        serve()


def test_the_deadline_follows_the_measured_curve(serve: Serve) -> None:
    latency = serve().scheduler.workers[0].latency
    assert latency is not None
    assert latency.deadline_s(1) == max(1.0, 10 * latency.expected_s(1))
    assert latency.deadline_s(10_000) > latency.deadline_s(100) > 0
