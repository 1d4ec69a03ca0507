"""Files through one card: decoded, copied, computed and read back at the same time, as the original application does.

    workers ──pixels──► filler (the caller) ──filled sets──► driver ──► outcomes
    read, decode         copy, send            ◄──free sets──  start, read the batch before, wait

Three sets of buffers go round: one is filled while the card works on the second and the third is read back.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadImage
from ..ranking import top5
from ..runtime.kernel import BufferSet, Kernel
from .images import read_pixels
from .timestamps import Stamps

BUFFER_SETS = 3


@dataclass
class Outcome:
    """What became of one file: five class ids, best first, or the reason why there are none."""

    path: Path
    classes: tuple[int, ...] = ()
    error: str | None = None
    stamps: Stamps = field(default_factory=Stamps)


@dataclass(frozen=True)
class _Batch:
    buffers: BufferSet
    outcomes: list[Outcome]

    def stamp(self, name: str) -> None:
        """Note the present time for every image."""
        now_s = time.monotonic()
        for outcome in self.outcomes:
            setattr(outcome.stamps, name, now_s)


_Decoded = tuple[Outcome, "NDArray[np.uint8]"]


def classify(kernel: Kernel, paths: Sequence[Path], workers: int) -> list[Outcome]:
    """Classify files, in batches of the kernel's max_batch.

    Args:
        kernel: with BUFFER_SETS sets of buffers; used by nothing else meanwhile.
        paths: the files.
        workers: threads that read and decode.

    Returns:
        An outcome for each file, in the order of `paths`.

    Raises:
        CardError: the card failed.
    """
    outcomes = [Outcome(path) for path in paths]
    free: SimpleQueue[BufferSet | None] = SimpleQueue()  # None: the driver has ended
    filled: SimpleQueue[_Batch | None] = SimpleQueue()  # None: no more comes
    for buffers in kernel.buffers:
        free.put(buffers)
    with ThreadPoolExecutor(workers, "preprocess") as pool, ThreadPoolExecutor(1, "card") as card:
        driving = card.submit(_drive, kernel, filled, free)
        try:
            images = _decode_ahead(pool, outcomes, workers + kernel.max_batch)
            while (batch := list(islice(images, kernel.max_batch))) and (empty := free.get()):
                filled.put(_fill(empty, batch))
        finally:
            filled.put(None)
    driving.result()
    return outcomes


def _decode_ahead(pool: ThreadPoolExecutor, outcomes: Sequence[Outcome], ahead: int) -> Iterator[_Decoded]:
    """The images that can be decoded, in order, with so many files in the workers' hands: memory stays bounded."""
    todo = iter(outcomes)
    under_way: deque[tuple[Outcome, Future[NDArray[np.uint8] | None]]] = deque()
    while True:
        under_way.extend((outcome, pool.submit(_decode, outcome)) for outcome in islice(todo, ahead - len(under_way)))
        if not under_way:
            return
        outcome, decoding = under_way.popleft()
        pixels = decoding.result()
        if pixels is not None:
            yield outcome, pixels


def _decode(outcome: Outcome) -> NDArray[np.uint8] | None:
    outcome.stamps.start = time.monotonic()
    try:
        return read_pixels(outcome.path)
    except BadImage as error:
        outcome.error = str(error)
        return None


def _fill(buffers: BufferSet, images: Sequence[_Decoded]) -> _Batch:
    batch = _Batch(buffers, [outcome for outcome, _ in images])
    for row, (outcome, pixels) in enumerate(images):
        outcome.stamps.upload_start = time.monotonic()
        buffers.host_pixels[row] = pixels
    buffers.send(len(images))
    batch.stamp("upload_end")
    return batch


def _drive(kernel: Kernel, filled: SimpleQueue[_Batch | None], free: SimpleQueue[BufferSet | None]) -> None:
    """Run filled batches until None comes; a batch's results are read while the card runs the next, if there is one."""
    done: _Batch | None = None
    try:
        while True:
            if done and filled.empty():
                _read(kernel, done, free)
                done = None
            batch = filled.get()
            if batch:
                batch.stamp("inference_start")
                start = kernel.start(batch.buffers, len(batch.outcomes))
            if done:
                _read(kernel, done, free)
            if not batch:
                return
            kernel.wait(start, kernel.timeout_s)
            batch.stamp("inference_end")
            done = batch
    finally:
        free.put(None)


def _read(kernel: Kernel, batch: _Batch, free: SimpleQueue[BufferSet | None]) -> None:
    batch.stamp("download_start")
    results: NDArray[Any] = batch.buffers.read(len(batch.outcomes))
    for outcome, classes in zip(
        batch.outcomes, top5(results) if kernel.outputs == "logits" else results.copy(), strict=True
    ):
        outcome.classes = tuple(int(i) for i in classes)
        outcome.stamps.download_end = time.monotonic()
    free.put(batch.buffers)
