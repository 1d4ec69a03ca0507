"""The pool: batches in order, faults that stay alone, and images that take too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from fuzz.corpus import images
from resnet50_triton.decode import DecodeOptions, DecodePool, decode_image, pool
from resnet50_triton.errors import BadImage

FILES = list(images().values())
EVERY = slice(None)


@pytest.fixture
def workers() -> Iterator[DecodePool]:
    decoders = DecodePool(2, DecodeOptions())
    yield decoders
    decoders.close()


@pytest.mark.parametrize("count", [0, 1, 2, 64])
def test_a_batch_is_decoded_in_order(workers: DecodePool, count: int) -> None:
    data = [FILES[i % len(FILES)] for i in range(count)]
    batch = workers.start(data)
    assert batch.wait_but_for_late()
    assert batch.error(EVERY, 1) is None
    assert batch.pixels.shape == (count, 224, 224, 3)
    for row, encoded in zip(batch.pixels, data, strict=True):
        assert np.array_equal(row, decode_image(encoded))


def test_batches_overlap(workers: DecodePool) -> None:
    batches = [workers.start(FILES) for _ in range(4)]
    assert all(batch.wait(60) for batch in batches)
    assert all(np.array_equal(batch.pixels, batches[0].pixels) for batch in batches)


def test_a_bad_image_fails_alone(workers: DecodePool) -> None:
    batch = workers.start([FILES[0], b"", FILES[1], b"GIF"])
    assert batch.wait(60)
    errors = [batch.error(slice(i, i + 1), 1) for i in range(4)]
    assert errors[0] is None
    assert errors[2] is None
    assert isinstance(errors[1], BadImage)
    assert "0 bytes" in str(errors[1])
    assert "GIF" in str(errors[3])
    assert batch.error(EVERY, 1) is errors[1]


def test_late_images_are_left_behind_and_refused_in_the_end(
    workers: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow image stands in for one whose decoding the library cannot interrupt."""
    release = threading.Event()

    def decode(data: bytes, out: np.ndarray, options: DecodeOptions) -> np.ndarray:
        if data == b"slow":
            release.wait(60)
        return decode_image(FILES[0], out, options)

    monkeypatch.setattr(pool, "decode_image", decode)
    try:
        batch = workers.start([FILES[0], b"slow", *FILES[1:5]])
        assert not batch.wait_but_for_late()
        assert [batch.is_done(slice(i, i + 1)) for i in range(6)] == [True, False, True, True, True, True]
        assert batch.error(slice(2, 6), 1) is None
        start = time.monotonic()
        batch.wait_at_most(slice(2, 6), 60)
        assert time.monotonic() - start < 1
        batch.wait_at_most(slice(0, 2), 0.5)
        error = batch.error(slice(0, 2), 0.5)
        assert isinstance(error, BadImage)
        assert "not decoded within 0.5 s" in str(error)
        # The other worker goes on.
        assert workers.start(FILES[:3]).wait(60)
    finally:
        release.set()
    batch.wait_at_most(slice(0, 2), 60)
    assert batch.error(EVERY, 60) is None


def test_an_error_of_ours_in_decoding_fails_the_image_alone(
    workers: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "decode_image", lambda *_: 1 // 0)
    batch = workers.start(FILES[:2])
    assert batch.wait(60)
    assert "ZeroDivisionError" in str(batch.error(EVERY, 1))
