"""A batch: what a card computes in one run, in one set of device buffers, for one request or several."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray

from .job import Job
from .kernel import BufferSet, Run
from .pixels import CopyPixels


class Provenance(NamedTuple):
    """Where and when some images of a request were computed; `_ns` are moments: time.time_ns() of the host."""

    card: str  # "xrt:0"
    xclbin_uuid: str  # 32 hex digits
    batch_size: int  # of the run
    received_ns: int  # Triton handed the request over
    upload_start_ns: int
    upload_end_ns: int
    kernel_start_ns: int
    kernel_end_ns: int
    download_start_ns: int
    download_end_ns: int
    runs: int  # 1, or more where the images were run again after a fault


class BatchSlice(NamedTuple):
    """Some images of a request, and where they lie in the buffers."""

    job: Job
    images: slice  # of the job
    first: int  # in the buffers
    runs: int  # of these images that failed before


@dataclass(eq=False)
class Batch:
    """Filled by who brings requests, run by a card. Times are seconds of the runtime's clock."""

    card: str  # that computes it
    buffers: BufferSet
    capacity: int
    now: Callable[[], float]  # the clock, in seconds
    slices: list[BatchSlice] = field(default_factory=list)
    size: int = 0  # images
    uploaded: int = 0  # images that are in the card's memory
    copy_s: float = 0.0  # spent on copying, all in all
    upload_start_s: float = 0.0
    upload_end_s: float = 0.0
    started_s: float = 0.0  # when the run was queued on the card
    kernel_start_s: float = 0.0  # when the card began with it, as the host sees it
    kernel_end_s: float = 0.0
    download_start_s: float = 0.0
    download_end_s: float = 0.0
    run: Run | None = None  # once it is on the card

    @property
    def room(self) -> int:
        """How many more images fit."""
        return self.capacity - self.size

    def close(self) -> None:
        """Take no more images."""
        self.capacity = self.size

    def take(self, job: Job, first: int, last: int, runs: int, copy: CopyPixels) -> int:
        """Copy a request's images `first` to `last`, as many as fit, to the host's side of the buffers; how many.

        Args:
            runs: of these images that failed before.
            copy: copies pixels.
        """
        begin_s = self.now()
        self.upload_start_s = self.upload_start_s or begin_s
        count = min(self.room, last - first)
        images = slice(first, first + count)
        job.copy_pixels(images, self.buffers.host_pixels[self.size : self.size + count], copy)
        self.slices.append(BatchSlice(job, images, self.size, runs))
        self.size += count
        self.copy_s += self.now() - begin_s
        return count

    def upload(self) -> None:
        """Copy the images to the card's memory that are not there yet."""
        if self.uploaded == self.size:
            return
        begin_s = self.now()
        self.buffers.upload(self.size, self.uploaded)
        self.uploaded = self.size
        self.upload_end_s = self.now()
        self.copy_s += self.upload_end_s - begin_s

    def download(self) -> NDArray[Any]:
        """Copy the outputs out of the card's memory: int32 (n, 1000) or uint32 (n, 5), an array of its own."""
        self.download_start_s = self.now()
        outputs: NDArray[Any] = self.buffers.download(self.size).copy()
        self.download_end_s = self.now()
        return outputs

    def complete(self, outputs: NDArray[Any]) -> list[float]:
        """Hand each request the outputs of its images, and let go of the requests; how long each had waited then."""
        totals_s = []
        for job, images, first, runs in self.slices:
            job.complete(images, outputs[first : first + images.stop - images.start], self, 1 + runs)
            totals_s.append(job.waited_s())
        self.slices.clear()
        return totals_s

    def provenance(self, xclbin_uuid: str, arrived_s: float, runs: int) -> Provenance:
        """The provenance of a request's images in this batch."""
        epoch_s = time.time() - self.now()

        def ns(moment_s: float) -> int:
            return round((epoch_s + moment_s) * 1e9)

        return Provenance(
            card=self.card,
            xclbin_uuid=xclbin_uuid,
            batch_size=self.size,
            received_ns=ns(arrived_s),
            upload_start_ns=ns(max(self.upload_start_s, arrived_s)),
            upload_end_ns=ns(self.upload_end_s),
            kernel_start_ns=ns(self.kernel_start_s),
            kernel_end_ns=ns(self.kernel_end_s),
            download_start_ns=ns(self.download_start_s),
            download_end_ns=ns(self.download_end_s),
            runs=runs,
        )
