"""A card that fails costs no request: its batches are run again, on another card, the standby, or once it is back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import wait_for
from resnet50_triton.errors import BadParameter, CardError
from resnet50_triton.runtime.instance import ModelInstance
from resnet50_triton.runtime.job import FutureJob
from resnet50_triton.runtime.queue import State
from runtime_support import Answers, Material

Faults = Callable[..., None]
Serve = Callable[..., ModelInstance]

FAULTS = [
    {"fault": "hang"},
    {"fault": "sync_to_device"},
    {"fault": "sync_from_device"},
    {"fault": "vanish", "seconds": 0.3},
]
by_name = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["fault"])


@by_name
def test_after_the_recovery_of_the_only_card(
    serve: Serve, faults: Faults, answers: Answers, fault: dict[str, Any]
) -> None:
    instance = serve(kernel_timeout_s="1", failover_wait_s="60")
    faults(fault)
    answers.send(instance, 1, 2, 1)
    answers.send(instance, 6)
    answers.wait()
    assert answers.errors == []
    assert answers.right == 4
    assert instance.metrics.value("resnet50_reruns_total", card="faulty:90") >= 1


@by_name
def test_on_another_card(serve: Serve, faults: Faults, answers: Answers, fault: dict[str, Any]) -> None:
    instance = serve(card="faulty:90,faulty:91", kernel_timeout_s="1", failover_wait_s="60")
    faults({**fault, "card": "faulty:91"}, {"fault": "program", "card": "faulty:91", "count": 1000})
    for _ in range(6):
        answers.send(instance, 4)
    answers.wait()
    assert answers.errors == []
    assert answers.right == 6


@by_name
def test_on_the_standby(serve: Serve, faults: Faults, answers: Answers, fault: dict[str, Any]) -> None:
    card = f"faulty:{93 + FAULTS.index(fault)}"  # which nobody can use after this
    options = {"kernel_timeout_s": "1", "failover_wait_s": "60", "recovery_attempts": "1"}
    instance = serve(card=card, standby="software:89", **options)
    answers.send(instance, 4)
    answers.wait()
    assert instance.metrics.value("resnet50_images_total", card="software:89") == 0
    faults(fault, {"fault": "program", "count": 1000})
    for _ in range(4):
        answers.send(instance, 4)
    answers.wait()
    assert answers.errors == []
    assert answers.right == 5
    assert instance.scheduler.ready_cards == 0
    assert instance.scheduler.is_ready()
    assert instance.metrics.value("resnet50_standby_active") == 1
    assert instance.metrics.value("resnet50_images_total", card="software:89") > 0


def test_the_cards_are_used_again(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(standby="software:89", failover_wait_s="60")
    faults({"fault": "sync_from_device"}, {"fault": "program", "count": 2})
    for _ in range(4):
        answers.send(instance, 4)
    wait_for(lambda: instance.scheduler.workers[0].queue.state is State.READY)
    answers.send(instance, 4)
    answers.wait()
    assert answers.right == 5
    assert instance.metrics.value("resnet50_standby_active") == 0


def test_a_batch_that_fails_two_cards_is_not_given_to_a_third(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(card="faulty:90,faulty:91,faulty:92", failover_wait_s="60")
    poison = np.full((1, 224, 224, 3), 251, np.uint8)
    faults({"fault": "poison", "value": 251})
    job = FutureJob(poison)
    instance.scheduler.submit([job])
    with pytest.raises(CardError, match="fails on"):
        job.future.result(60)
    recoveries = [instance.metrics.value("resnet50_reruns_total", card=card) for card in instance.cards]
    assert sum(recoveries) == 1
    suspected = [instance.metrics.value("resnet50_poison_total", card=card) for card in instance.cards]
    assert sum(suspected) == 1
    wait_for(lambda: instance.scheduler.ready_cards >= 1)
    answers.send(instance, 4)
    answers.wait()
    assert answers.right == 1


def test_the_standby_gets_it_alone(serve: Serve, faults: Faults, answers: Answers, material: Material) -> None:
    instance = serve(card="faulty:90,faulty:91", standby="software:89", failover_wait_s="60")
    faults({"fault": "poison", "value": int(material.pixels[0, 0, 0, 0])})
    answers.send(instance, 1, 1)  # both the same image, in one batch
    answers.wait()
    assert answers.right == 2
    assert [part.batch.size for part in answers.parts] == [1, 1]
    assert {part.batch.card for part in answers.parts} == {"software:89"}
    assert {part.runs for part in answers.parts} == {3}


def test_without_a_wait_the_error_is_the_answer(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(card="faulty:90,faulty:91")
    faults({"fault": "sync_from_device", "card": "faulty:90"}, {"fault": "sync_from_device", "card": "faulty:91"})
    answers.send(instance, 4)
    answers.wait()
    assert isinstance(answers.errors[0], CardError)


def test_closing_answers_what_is_to_be_run_again(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(failover_wait_s="60")
    faults({"fault": "sync_from_device"}, {"fault": "program", "count": 1000})
    answers.send(instance, 4)
    wait_for(lambda: instance.scheduler.workers[0].queue.state is State.RECOVERING)
    instance.close()
    answers.wait(10)
    assert isinstance(answers.errors[0], CardError)


def test_a_standby_must_be_another_card(serve: Serve) -> None:
    with pytest.raises(BadParameter, match="standby is 'faulty:90', which is among the cards"):
        serve(standby="faulty:90")
