"""Requests that come alone: who brings one waits for it, instead of the card's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from resnet50_triton.errors import CardTimeout, Resnet50Error
from resnet50_triton.runtime.instance import ModelInstance
from resnet50_triton.runtime.job import Job
from runtime_support import Answers, wait_for, works_again

Faults = Callable[..., None]
Serve = Callable[..., ModelInstance]


@pytest.fixture
def answering_threads(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The thread of each answer."""
    threads: list[threading.Thread] = []
    send = Job._send

    def noting(job: Job, error: Resnet50Error | None) -> None:
        threads.append(threading.current_thread())
        send(job, error)

    monkeypatch.setattr(Job, "_send", noting)
    return threads


def send_to_idle_card(answers: Answers, service: ModelInstance, size: int) -> None:
    """Send a request that is waited for where it is sent."""
    wait_for(lambda: service.pool.workers[0]._idle)
    answers.send(service, size, attend=True)


@pytest.mark.parametrize("size", [1, 4, 6])  # of 4 images a start
def test_it_is_answered_where_it_is_sent(
    serve: Serve, answers: Answers, answering_threads: list[threading.Thread], size: int
) -> None:
    service = serve()
    for _ in range(3):
        send_to_idle_card(answers, service, size)
        answers.wait()
    assert answers.right == 3
    if size <= 4:
        assert set(answering_threads) == {threading.main_thread()}
    wait_for(lambda: service.metrics.value("resnet50_images_total", card="faulty:90") == 3 * size)


def test_a_card_that_hangs_is_noticed(serve: Serve, faults: Faults, answers: Answers) -> None:
    service = serve(kernel_timeout_s="0.5")
    faults({"fault": "hang"})
    begin_s = time.monotonic()
    send_to_idle_card(answers, service, 1)
    answers.wait()
    assert time.monotonic() - begin_s < 1.5
    assert isinstance(answers.errors[0], CardTimeout)
    works_again(service, answers)


def test_a_result_that_cannot_be_read_is_an_error(serve: Serve, faults: Faults, answers: Answers) -> None:
    service = serve()
    faults({"fault": "sync_from_device"})
    send_to_idle_card(answers, service, 1)
    answers.wait()
    assert "Invalidate Failed" in str(answers.errors[0])
    works_again(service, answers)


def test_the_known_picture_is_run_between_them(serve: Serve, answers: Answers) -> None:
    service = serve(selftest_interval_s="0.05")
    for _ in range(30):
        send_to_idle_card(answers, service, 1)
    answers.wait()
    assert answers.right == 30
    assert service.metrics.value("resnet50_selftest_runs_total", card="faulty:90") >= 1


def test_closing_waits_for_it(serve: Serve, faults: Faults, answers: Answers) -> None:
    service = serve()
    faults({"fault": "slow", "seconds": 0.3})
    sending = threading.Thread(target=send_to_idle_card, args=(answers, service, 1))
    sending.start()
    wait_for(lambda: service.pool.workers[0]._attended)
    service.close()
    sending.join()
    answers.wait(0.1)
    assert answers.right == 1
