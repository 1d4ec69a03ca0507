"""The way of requests through the cards: overlap, splitting, back-pressure, refusals, closing."""

from __future__ import annotations

import gc
import re
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import wait_for
from resnet50_triton.cards import open_card
from resnet50_triton.errors import BadPixels, Cancelled, CardError, Expired
from resnet50_triton.runtime.instance import ModelInstance
from resnet50_triton.runtime.job import FutureJob
from resnet50_triton.runtime.latency import LatencyModel
from runtime_support import Answers, works_again

SERVING = Path(__file__).resolve().parents[2] / "docs" / "serving.md"
Faults = Callable[..., None]
Serve = Callable[..., ModelInstance]


def test_the_log_tells_the_rate_as_docs_serving_reads_it(serve: Serve) -> None:
    description = serve().description
    written = re.search(r"software:0 \(...\), (.*)`: large", SERVING.read_text().replace("\n", " "))
    assert written
    assert re.sub(r"[0-9.]+", "N", written[1]) in re.sub(r"\d[\d.e+-]*", "N", description)


def test_requests_share_starts_and_large_ones_are_split(serve: Serve, answers: Answers) -> None:
    instance = serve()  # 4 images a run
    answers.send(instance, 1, 2, 6, 8, 1)
    answers.wait()
    assert answers.right == 5
    sizes = [(part.images.stop - part.images.start, part.batch.size) for part in answers.parts]
    assert sorted(sizes) == [(1, 2), (1, 4), (1, 4), (2, 4), (3, 4), (4, 4), (4, 4)] or sum(n for n, _ in sizes) == 18
    assert {batch for _, batch in sizes} <= {2, 4}


def test_a_batch_that_waits_for_the_card_takes_more_requests(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(kernel_batch_size="8")
    worker = instance.scheduler.workers[0]
    worker.queue.open(worker.kernel.buffers, LatencyModel(0.5, 0.0))
    faults({"fault": "slow", "seconds": 0.5, "count": 1})
    answers.send(instance, 1)
    wait_for(lambda: worker.queue.first_running)
    for _ in range(3):
        answers.send(instance, 2)
    answers.send(instance, 4)  # for which there is no room beside them
    answers.wait()
    assert answers.right == 5
    assert [part.batch.size for part in answers.parts] == [1, 6, 6, 6, 4]


def test_a_batch_that_cannot_be_filled_further_fails(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve()
    worker = instance.scheduler.workers[0]
    worker.queue.open(worker.kernel.buffers, LatencyModel(0.5, 0.0))
    faults({"fault": "slow", "seconds": 0.5, "count": 1})
    answers.send(instance, 1)
    wait_for(lambda: worker.queue.first_running)
    answers.send(instance, 1)
    faults({"fault": "sync_to_device", "count": 1})
    answers.send(instance, 1)
    answers.wait()
    assert len(answers.errors) in (2, 3)  # the first may be done before its thread hears of the failure
    wait_for(lambda: instance.metrics.value("resnet50_failed_total", card="faulty:90") == len(answers.errors))
    works_again(instance, answers)


def test_a_request_that_cannot_be_copied_fails_alone(serve: Serve, answers: Answers) -> None:
    instance = serve()
    bad = answers.job(1)
    bad.copy_pixels = Mock(side_effect=ValueError("the memory is gone"))
    instance.scheduler.submit([answers.job(1), bad, answers.job(1)])
    answers.wait()
    assert answers.right == 2
    assert "the request cannot be taken: ValueError" in str(answers.errors[0])
    answers.send(instance, 4)
    answers.wait()
    assert answers.right == 3  # its buffers are in use by nobody


def test_the_next_batch_is_on_the_card_before_the_first_is_done(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve()
    card = open_card("faulty:90")
    faults({"fault": "slow", "seconds": 0.9})
    answers.send(instance, 4)
    answers.send(instance, 4)
    wait_for(lambda: card._commands._submitted - card._commands._finished == 2, 0.8)
    answers.send(instance, 4)  # the third set is free
    assert answers.right == 0
    answers.wait()
    assert answers.right == 3


def test_full_buffers_block(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve(kernel_timeout_s="3")
    faults({"fault": "hang"})  # until its deadline
    for _ in range(3):
        answers.send(instance, 4)
    sending = threading.Thread(target=answers.send, args=(instance, 4))
    sending.start()
    sending.join(0.3)
    assert sending.is_alive()
    sending.join()
    answers.wait()


def test_cancelled_and_late_requests_cost_no_card_time(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve()
    faults({"fault": "slow", "seconds": 0.3})
    for _ in range(3):
        answers.send(instance, 4)
    jobs = [answers.job(1, is_cancelled=lambda: True), answers.job(1, timeout_s=0.05), answers.job(1)]
    instance.scheduler.submit(jobs)
    answers.wait()
    assert answers.right == 4
    assert sorted(type(error).__name__ for error in answers.errors) == ["Cancelled", "Expired"]
    assert instance.metrics.value("resnet50_images_total", card="faulty:90") == 13
    assert Cancelled.triton_code == "CANCELLED"
    assert Expired.triton_code == "UNAVAILABLE"


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 224, 224, 3), np.int8),
        np.zeros((1, 225, 224, 3), np.uint8),
        np.zeros((224, 224, 3), np.uint8),
        np.zeros((0, 224, 224, 3), np.uint8),
    ],
)
def test_wrong_pixels(pixels: np.ndarray) -> None:
    with pytest.raises(BadPixels, match=r"expected uint8 \(N, 224, 224, 3\)"):
        FutureJob(pixels)


def test_provenance(serve: Serve, answers: Answers) -> None:
    instance = serve()
    answers.send(instance, 2, 2)
    answers.wait()
    for images, batch, runs in answers.parts:
        assert images == slice(0, 2)
        provenance = batch.provenance(instance.xclbin.uuid, batch.upload_start_s, runs)
        assert provenance[:3] == ("faulty:90", instance.xclbin.uuid, 4)
        assert provenance.runs == 1
        moments = [value for name, value in provenance._asdict().items() if name.endswith("_ns")]
        assert len(moments) == 7
        assert moments == sorted(moments)
        assert abs(time.time_ns() - moments[-1]) < 60e9


def test_closing_answers_what_was_taken(serve: Serve, faults: Faults, answers: Answers) -> None:
    instance = serve()
    faults({"fault": "slow", "seconds": 0.2})
    for _ in range(3):
        answers.send(instance, 4)
    instance.close()
    answers.wait(0.1)
    assert answers.right == 3
    answers.send(instance, 1)
    answers.wait(0.1)
    assert isinstance(answers.errors[0], CardError)
    assert "unloaded" in str(answers.errors[0])


def test_loading_again_and_again_leaves_nothing(serve: Serve, answers: Answers, tmp_path: Path) -> None:
    card = open_card("faulty:90")

    def state() -> tuple[int, int, int, int]:
        gc.collect()
        files = len(list(Path("/proc/self/fd").iterdir()))
        entries = len(list((tmp_path / "runtime").rglob("user-*")))
        return card.programmed().memory.count(), threading.active_count(), files, entries

    instance = serve()
    answers.send(instance, 4)
    answers.wait()
    instance.close()
    before = state()
    for _ in range(20):  # `make soak` does it a hundred times, with the server
        serve().close()
    assert state() == before
    assert before[0] == before[3] == 0


def test_metrics_are_told(serve: Serve, answers: Answers) -> None:
    instance = serve()
    answers.send(instance, 1, 2)
    answers.wait()
    samples = {(name, labels): value for name, labels, value in instance.metrics.samples()}
    card = ("card", "faulty:90")
    assert samples["resnet50_images_total", (card,)] == 3
    assert samples["resnet50_batch_size_bucket", (card, ("le", "2"))] == 0
    assert samples["resnet50_batch_size_bucket", (card, ("le", "4"))] == 1
    assert samples["resnet50_batch_size_bucket", (card, ("le", "+Inf"))] == 1
    assert samples["resnet50_kernel_seconds_count", (card,)] == 1
    assert samples["resnet50_total_seconds_count", (card,)] == 2
    assert 0 < samples["resnet50_kernel_seconds_sum", (card,)] < 30
    assert samples["resnet50_card_state", (card, ("state", "ready"))] == 1
    assert samples["resnet50_cross_check_mismatches_total", (card,)] == 0  # there before anything is wrong
    assert samples["resnet50_refused_total", (("code", "UNAVAILABLE"),)] == 0
    wait_for(lambda: instance.metrics.value("resnet50_uptime_seconds_total") > 0, 5)
    names = {name for name, _, _ in instance.metrics.samples()}
    assert "resnet50_power_watts" not in names  # a software card has no power of its own


def test_power_of_a_card_with_rails(serve: Serve) -> None:
    instance = serve(card="timing:90")
    wait_for(lambda: instance.metrics.value("resnet50_energy_joules_total", card="timing:90") > 0, 5)
    assert 29 < instance.metrics.value("resnet50_power_watts", card="timing:90") < 71


def test_a_sensor_that_fails_once_is_read_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    device = type(open_card("timing:91"))
    rails, failures = device.sensors, []

    def fails_once(card: object) -> object:
        if not failures:
            failures.append(card)
            raise OSError("made by the test")
        return rails.fget(card)

    instance = serve(card="timing:91")
    wait_for(lambda: instance.metrics.value("resnet50_energy_joules_total", card="timing:91") > 0, 5)
    monkeypatch.setattr(device, "sensors", property(fails_once))
    wait_for(lambda: bool(failures), 5)
    before_j = instance.metrics.value("resnet50_energy_joules_total", card="timing:91")
    wait_for(lambda: instance.metrics.value("resnet50_energy_joules_total", card="timing:91") > before_j, 5)
    assert "its sensors cannot be read now (made by the test)" in caplog.text


@pytest.mark.parametrize("fault", [None, "sync_to_device", "sync_from_device"])
def test_an_answered_request_holds_nothing(serve: Serve, faults: Faults, fault: str | None) -> None:
    """Its pixels may lie in Triton's shared memory, and its batches have buffers: neither waits for the collector."""
    instance = serve()
    if fault is not None:
        faults({"fault": fault, "count": 1})
    gc.disable()
    try:
        pixels = np.zeros((9, 224, 224, 3), np.uint8)
        job = FutureJob(pixels)
        held, future, request = weakref.ref(pixels), job.future, weakref.ref(job)
        del pixels
        instance.scheduler.submit([job])
        del job
        assert isinstance(future.exception(60), CardError if fault else type(None))
        wait_for(lambda: held() is None)
        if fault is None:  # the traceback of a failure refers to its request
            wait_for(lambda: request() is None)
            assert len(future.result().outputs) == 9
    finally:
        gc.enable()
