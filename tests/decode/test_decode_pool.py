"""The pool: requests in order, faults that stay alone, and images that would take too long."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import psutil
import pytest
from fuzz.corpus import bombs, encode, images, picture
from resnet50_triton.decode import DecodeOptions, DecodePool, decode_image, pool
from resnet50_triton.errors import BadImage, Expired, HelperNotStarted

FILES = list(images().values())
BOMBS = bombs()


@pytest.fixture
def workers() -> Iterator[DecodePool]:
    decoders = DecodePool(2, DecodeOptions())
    yield decoders
    decoders.close()


@pytest.mark.parametrize("count", [1, 2, 64])
def test_a_request_is_decoded_in_order(workers: DecodePool, count: int) -> None:
    data = [FILES[i % len(FILES)] for i in range(count)]
    pixels = workers.submit(data).result(60)
    assert pixels.shape == (count, 224, 224, 3)
    for row, encoded in zip(pixels, data, strict=True):
        assert np.array_equal(row, decode_image(encoded))


def test_requests_overlap(workers: DecodePool) -> None:
    first, *others = [workers.submit(FILES) for _ in range(4)]
    assert all(np.array_equal(request.result(60), first.result(60)) for request in others)


def test_a_bad_image_fails_its_request_alone_and_is_named(workers: DecodePool) -> None:
    good, bad, alone = workers.submit(FILES[:3]), workers.submit([FILES[0], b"GIF", b""]), workers.submit([b""])
    with pytest.raises(BadImage, match=r"^image 1 of 3 \(from 0\): image of 3 bytes, the first of them 47 49 46"):
        bad.result(60)
    with pytest.raises(BadImage, match="image has 0 bytes"):
        alone.result(60)
    assert good.result(60).shape == (3, 224, 224, 3)


def test_a_request_without_images_is_refused(workers: DecodePool) -> None:
    with pytest.raises(BadImage, match="no images"):
        workers.submit([])


def test_what_may_start_raises_is_the_requests_error(workers: DecodePool) -> None:
    def too_late() -> None:
        calls.append(1)
        raise Expired("too late")

    calls: list[int] = []
    with pytest.raises(Expired, match="too late"):
        workers.submit(FILES[:8], too_late).result(60)
    assert calls == [1]


@pytest.mark.parametrize("kind", BOMBS)
def test_two_costly_images_a_worker_hold_up_nobody(kind: str) -> None:
    """An image beside them is decoded before any of them is, or its time has passed: in a second on any machine."""
    limit_s = 1.0
    decoders = DecodePool(2, DecodeOptions(), limit_s)
    decoders.submit(FILES).result(60)  # the helpers are there
    start = time.monotonic()
    costly = [decoders.submit([BOMBS[kind]]) for _ in range(4)]
    for good in (FILES[0], encode(picture(), "PNG")):
        assert np.array_equal(decoders.submit([good]).result(60)[0], decode_image(good))
    beside_s = time.monotonic() - start
    for request in costly:
        assert isinstance(request.exception(60), BadImage | None)
    all_s = time.monotonic() - start
    decoders.close()
    assert beside_s < 6  # the aim is 1 s; the machine may be busy
    assert all_s < 2 * (limit_s + 6)


def test_an_image_that_takes_too_long_is_refused_and_its_worker_goes_on() -> None:
    decoders = DecodePool(1, DecodeOptions(), 0.6)
    for _ in range(2):
        with pytest.raises(BadImage, match=r"was not decoded within 0\.6 s, the limit"):
            decoders.submit([BOMBS["jpeg of many scans"]]).result(60)
        assert decoders.submit([FILES[0]]).result(60).any()
    decoders.close()


def test_a_limit_below_the_time_slice_holds() -> None:
    decoders = DecodePool(1, DecodeOptions(), 0.05)
    with pytest.raises(BadImage, match=r"was not decoded within 0\.05 s"):
        decoders.submit([BOMBS["bmp of runs of one"]]).result(60)
    decoders.close()


def test_an_image_that_ends_its_helper_is_refused(workers: DecodePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ending the helper stands in for a decoder that crashes."""
    before = set(psutil.Process().children(recursive=True))
    workers.submit([encode(picture(), "PNG")] * 8).result(60)
    helpers = set(psutil.Process().children(recursive=True)) - before
    monkeypatch.setattr(pool, "TIME_SLICE_S", 60)
    costly = workers.submit([BOMBS["small bmp of runs of one"]])
    while not costly.done():
        for helper in helpers:
            if helper.is_running() and helper.status() == psutil.STATUS_RUNNING:
                helper.kill()
        time.sleep(0.01)
    with pytest.raises(BadImage, match=r"ended its decoder \(exit code -9\)"):
        costly.result(60)
    assert workers.submit([encode(picture(), "PNG")] * 8).result(60).any()


def test_an_error_of_ours_in_decoding_fails_the_request_alone(
    workers: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "read_header", lambda *_: 1 // 0)
    assert isinstance(workers.submit(FILES[:2]).exception(60), ZeroDivisionError)
    monkeypatch.undo()
    assert workers.submit(FILES[:2]).result(60).any()


@pytest.mark.parametrize("error", [EOFError(), OSError(errno.EMFILE, "Too many open files")])
def test_a_helper_that_cannot_be_started_costs_its_request_alone(
    workers: DecodePool, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The next image finds a helper: a process that was never started is not kept as one."""
    png = encode(picture(), "PNG")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ForkServerProcess, "start", fail)
    for _ in range(3):
        refusal = workers.submit([png]).exception(60)
        assert isinstance(refusal, HelperNotStarted)
        assert "could not be started" in str(refusal)
    monkeypatch.undo()
    assert workers.submit([png]).result(60).any()


def test_close_ends_helpers_and_threads() -> None:
    threads = threading.active_count()
    decoders = DecodePool(2, DecodeOptions())
    decoders.submit(FILES).result(60)
    decoders.close()
    assert threading.active_count() == threads


def test_where_no_helper_can_work_the_pool_says_so(tmp_path: Path) -> None:
    """A stub may find another Python than the one that has this package."""
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing\n"
        "from resnet50_triton.decode import DecodeOptions, DecodePool\n"
        "multiprocessing.set_executable('/bin/false')\n"
        "DecodePool(1, DecodeOptions())\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "SetupError: no decode helper works with the Python" in done.stderr
