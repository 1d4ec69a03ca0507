"""Classifies files: threads decode them in advance, batches go to the runtime, results come in order.

workers ──pixels──► submit (the caller; blocks while the card's buffers are full) ──► the runtime ──► outcomes
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadImage
from ..ranking import top5
from ..runtime.instance import ModelInstance
from ..runtime.job import FutureJob, JobResult
from .images import read_pixels
from .timestamps import Timestamps


@dataclass
class Outcome:
    """What became of one file: five class ids, best first, or the reason why there are none."""

    path: Path
    classes: tuple[int, ...] = ()
    error: str | None = None
    timestamps: Timestamps = field(default_factory=Timestamps)


def classify(instance: ModelInstance, paths: Sequence[Path], workers: int, batch_size: int) -> list[Outcome]:
    """Classify files.

    Args:
        instance: the cards; used by nothing else meanwhile.
        paths: the files.
        workers: threads that read and decode.
        batch_size: images that are submitted at once.

    Returns:
        An outcome for each file, in the order of `paths`.

    Raises:
        CardError: the cards failed for good.
    """
    outcomes = [Outcome(path) for path in paths]
    submitted: deque[tuple[Outcome, Future[JobResult]]] = deque()
    with ThreadPoolExecutor(workers, "preprocess") as pool:
        images = _decode_ahead(pool, outcomes, workers + batch_size)
        while batch := list(islice(images, batch_size)):
            jobs = [FutureJob(pixels[None]) for _, pixels in batch]
            submitted.extend((outcome, job.future) for (outcome, _), job in zip(batch, jobs, strict=True))
            instance.scheduler.submit(jobs)
            while submitted and submitted[0][1].done():  # what is noted holds no pixels any more
                _note(*submitted.popleft())
    for outcome, future in submitted:
        _note(outcome, future)
    return outcomes


def _decode_ahead(
    pool: ThreadPoolExecutor, outcomes: Sequence[Outcome], ahead: int
) -> Iterator[tuple[Outcome, NDArray[np.uint8]]]:
    """The images that can be decoded, in order, with so many files in the workers' hands: memory stays bounded."""
    todo = iter(outcomes)
    in_flight: deque[tuple[Outcome, Future[NDArray[np.uint8] | None]]] = deque()
    while True:
        in_flight.extend((outcome, pool.submit(_decode, outcome)) for outcome in islice(todo, ahead - len(in_flight)))
        if not in_flight:
            return
        outcome, decoding = in_flight.popleft()
        pixels = decoding.result()
        if pixels is not None:
            yield outcome, pixels


def _decode(outcome: Outcome) -> NDArray[np.uint8] | None:
    outcome.timestamps.start = time.monotonic()
    try:
        return read_pixels(outcome.path)
    except BadImage as error:
        outcome.error = str(error)
        return None


def _note(outcome: Outcome, future: Future[JobResult]) -> None:
    """Keep a result; raises what the request failed with."""
    result = future.result()
    outputs = result.outputs
    outcome.classes = tuple((top5(outputs) if outputs.dtype == np.int32 else outputs)[0].tolist())
    batch = result.parts[0].batch
    times = outcome.timestamps
    times.upload_start, times.upload_end = batch.upload_start_s, batch.upload_end_s
    times.inference_start, times.inference_end = batch.kernel_start_s, batch.kernel_end_s
    times.download_start, times.download_end = batch.download_start_s, batch.download_end_s
