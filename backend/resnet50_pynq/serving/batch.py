"""What goes to a card in one start: a set of device buffers and the requests whose images lie in it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ..errors import Resnet50Error
from ..kernel import BufferSet, Start
from .job import Job


@dataclass
class Part:
    """Some images of a request, and where they lie in the set."""

    job: Job
    images: slice  # of the job
    first: int  # in the set


@dataclass(eq=False)
class Batch:
    """Filled in the pool, run by a worker."""

    buffers: BufferSet
    capacity: int
    parts: list[Part] = field(default_factory=list)
    images: int = 0
    copy_s: float = 0.0
    filled_s: float = 0.0  # moments on time.monotonic()'s clock
    started_s: float = 0.0
    done_s: float = 0.0
    kernel_s: float = 0.0  # on the card, without waiting for the start before
    is_canary: bool = False
    start: Start = field(init=False)  # once it is on the card

    @property
    def room(self) -> int:
        """How many images more it takes."""
        return self.capacity - self.images

    def take(self, job: Job, first: int) -> int:
        """Copy images of a request, from `first` on, as many as there is room for; how many that was."""
        begin_s = time.monotonic()
        count = min(self.room, len(job) - first)
        images = slice(first, first + count)
        self.buffers.host_pixels[self.images : self.images + count] = job.pixels[images]
        self.parts.append(Part(job, images, self.images))
        self.images += count
        self.copy_s += time.monotonic() - begin_s
        return count

    def send(self) -> None:
        """Copy the images to the card's memory."""
        begin_s = time.monotonic()
        self.buffers.send(self.images)
        self.filled_s = time.monotonic()
        self.copy_s += self.filled_s - begin_s

    def fail(self, error: Resnet50Error) -> int:
        """Answer all its requests with an error; how many they are."""
        for part in self.parts:
            part.job.fail(error)
        return len(self.parts)
