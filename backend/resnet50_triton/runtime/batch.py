"""What goes to a card in one start: a set of device buffers and the requests whose images lie in it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .. import __version__
from ..errors import Resnet50Error
from ..xclbin.kernel_info import KernelInfo
from .job import Job, Provenance
from .kernel import BufferSet, Start


@dataclass
class BatchSlice:
    """Some images of a request, and where they lie in the set."""

    job: Job
    images: slice  # of the job
    first: int  # in the set


@dataclass(eq=False)
class Batch:
    """Filled in the pool, run by a worker. While it waits for its card, it may be filled further."""

    buffers: BufferSet
    capacity: int
    parts: list[BatchSlice] = field(default_factory=list)
    images: int = 0
    is_filling: bool = True  # not to be started
    sent: int = 0  # images that are in the card's memory
    copy_s: float = 0.0
    begun_s: float = 0.0  # moments on time.monotonic()'s clock
    filled_s: float = 0.0
    started_s: float = 0.0
    done_s: float = 0.0
    download_s: float = 0.0
    read_s: float = 0.0  # the results are in the host's memory
    epoch_s: float = 0.0  # time.time() at the zero of that clock
    kernel_s: float = 0.0  # on the card, without waiting for the start before
    is_selftest: bool = False
    is_attended: bool = False  # who brought it waits for it, instead of the card's thread
    start: Start = field(init=False)  # once it is on the card

    @property
    def room(self) -> int:
        """How many images more it takes."""
        return self.capacity - self.images

    def take(self, job: Job, first: int) -> int:
        """Copy images of a request, from `first` on, as many as there is room for; how many that was."""
        begin_s = time.monotonic()
        self.begun_s = self.begun_s or begin_s
        count = min(self.room, len(job) - first)
        images = slice(first, first + count)
        self.buffers.host_pixels[self.images : self.images + count] = job.pixels[images]
        self.parts.append(BatchSlice(job, images, self.images))
        self.images += count
        self.copy_s += time.monotonic() - begin_s
        return count

    def send(self) -> None:
        """Copy the images to the card's memory that are not there yet."""
        if self.sent == self.images:
            return
        begin_s = time.monotonic()
        self.buffers.send(self.images, self.sent)
        self.sent = self.images
        self.filled_s = time.monotonic()
        self.copy_s += self.filled_s - begin_s

    def read(self) -> NDArray[Any]:
        """Copy the results out of the card's memory: int32 (n, 1000) or uint32 (n, 5), an array of its own."""
        self.download_s = time.monotonic()
        results: NDArray[Any] = self.buffers.read(self.images).copy()
        self.read_s = time.monotonic()
        self.epoch_s = time.time() - self.read_s
        return results

    def origin(self, card: str, image: KernelInfo, job: Job) -> Provenance:
        """What a request is told of its images here."""
        kernel_start_s = self.done_s - self.kernel_s
        return Provenance(
            card=card,
            kind=_kind(card, image),
            xclbin_uuid=image.uuid,
            batch=self.images,
            queue_us=_us(kernel_start_s - self.copy_s - job.arrived_s),
            copy_us=_us(self.copy_s),
            kernel_us=_us(self.kernel_s),
            received_ns=self._ns(job.arrived_s),
            upload_start_ns=self._ns(max(self.begun_s, job.arrived_s)),
            upload_end_ns=self._ns(self.filled_s),
            kernel_start_ns=self._ns(kernel_start_s),
            kernel_end_ns=self._ns(self.done_s),
            download_start_ns=self._ns(self.download_s),
            download_end_ns=self._ns(self.read_s),
            version=__version__,
        )

    def _ns(self, moment_s: float) -> int:
        return round((self.epoch_s + moment_s) * 1e9)

    def fail(self, error: Resnet50Error) -> int:
        """Answer all its requests with an error, but for those that are answered; how many they were."""
        return sum(part.job.fail(error) for part in self.parts)


def _kind(card: str, image: KernelInfo) -> str:
    kind, _, _ = card.partition(":")
    if kind == "xrt":
        return "alveo" if image.target == "hw" else "emulation"
    return kind


def _us(seconds: float) -> int:
    return max(0, round(seconds * 1e6))
