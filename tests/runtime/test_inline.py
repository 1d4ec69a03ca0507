"""Inline runs: a request that comes alone is run by the thread that brings it, instead of the card's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from helpers import wait_for
from resnet50_triton.errors import CardTimeout
from resnet50_triton.runtime.instance import ModelInstance
from runtime_support import Answers, works_again

Faults = Callable[..., None]
Serve = Callable[..., ModelInstance]


def run_inline(answers: Answers, instance: ModelInstance, size: int) -> threading.Thread:
    """Send a request that is run where it is sent; the thread that answered it."""
    threads: list[threading.Thread] = []
    job = answers.job(size)
    job.future.add_done_callback(lambda _: threads.append(threading.current_thread()))
    instance.scheduler.submit([job], inline=True)
    answers.wait()
    return threads[0]


@pytest.mark.parametrize("size", [1, 4, 6])  # of 4 images a run
def test_it_is_answered_where_it_is_sent(serve: Serve, answers: Answers, size: int) -> None:
    instance = serve()
    answered_by = [run_inline(answers, instance, size) for _ in range(20)]
    assert answers.right == 20
    if size <= 4:  # the card's own thread has it but for a moment, now and then
        assert answered_by.count(threading.main_thread()) > 10
    wait_for(lambda: instance.metrics.value("resnet50_images_total", card="faulty:90") == 20 * size)


def test_a_card_that_hangs_is_noticed(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(kernel_timeout_s="0.5")
    faults({"fault": "hang"})
    begin_s = time.monotonic()
    run_inline(answers, instance, 1)
    answers.wait()
    assert time.monotonic() - begin_s < 15  # its deadline, not that of a load
    assert isinstance(answers.errors[0], CardTimeout)
    works_again(instance, answers)


def test_a_result_that_cannot_be_read_is_an_error(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve()
    faults({"fault": "sync_from_device"})
    run_inline(answers, instance, 1)
    answers.wait()
    assert "Invalidate Failed" in str(answers.errors[0])
    works_again(instance, answers)


def test_the_known_picture_is_run_between_them(serve: Serve, answers: Answers) -> None:
    instance = serve(selftest_interval_s="0.05")
    for _ in range(30):
        run_inline(answers, instance, 1)
    answers.wait()
    assert answers.right == 30
    assert instance.metrics.value("resnet50_selftest_runs_total", card="faulty:90") >= 1


def test_closing_waits_for_it(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve()
    faults({"fault": "slow", "seconds": 0.3})
    sending = threading.Thread(target=run_inline, args=(answers, instance, 1))
    sending.start()
    wait_for(lambda: instance.scheduler.workers[0].queue.first_running)
    instance.close()
    sending.join()
    answers.wait(0.1)
    assert answers.right == 1
