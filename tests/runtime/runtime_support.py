"""What the tests of the serving parts share."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from resnet50_triton.cards import open_card
from resnet50_triton.errors import Resnet50Error
from resnet50_triton.runtime.instance import ModelInstance
from resnet50_triton.runtime.job import Job
from resnet50_triton.runtime.worker import State


@dataclass(frozen=True)
class Material:
    """card.xclbin, other.xclbin and weights.npy in a folder; pixels with their right logits: int32 (4, 1000)."""

    folder: Path
    pixels: NDArray[np.uint8]
    logits: NDArray[np.int32]


class Answers:
    """Sends requests, and holds every answer to the right one."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._got = threading.Condition()
        self.right = 0
        self.errors: list[Resnet50Error] = []
        self.sent = 0
        self.origins: list[Any] = []

    def job(self, images: int = 4, **options: Any) -> Job:
        """A request for the first images, over and over where more are asked for."""
        which = np.arange(images) % 4

        def take(job: Job, error: Resnet50Error | None) -> None:
            with self._got:
                if error is not None:
                    self.errors.append(error)
                elif np.array_equal(job.results, self._material.logits[which]):
                    self.right += 1
                    self.origins += job.origins
                else:
                    self.errors.append(AssertionError("a wrong result was answered"))  # type: ignore[arg-type]
                self._got.notify_all()

        self.sent += 1
        return Job(self._material.pixels[which], take, **options)

    def send(self, service: ModelInstance, *sizes: int, attend: bool = False) -> None:
        """Send requests in one go, as Triton's batcher does."""
        service.pool.submit([self.job(size) for size in sizes], attend)

    def wait(self, timeout_s: float = 60.0) -> None:
        """Wait until every request is answered, once."""
        with self._got:
            assert self._got.wait_for(lambda: self.right + len(self.errors) == self.sent, timeout_s), "requests lost"
        time.sleep(0.01)
        assert self.right + len(self.errors) == self.sent


def works_again(service: ModelInstance, answers: Answers) -> None:
    """Hold a card to coming back, with nothing left of before."""
    wait_for(lambda: service.metrics.value("resnet50_recoveries_total", card=service.cards[0]) >= 1)
    wait_for(lambda: service.pool.workers[0].state is State.READY)
    right = answers.right
    answers.send(service, 4)
    answers.wait()
    assert answers.right == right + 1
    # The reset forgot the buffers of before: there are those of one kernel.
    assert open_card(service.cards[0]).programmed().memory.count() == 3 * 2 + 1


def wait_for(condition: Any, timeout_s: float = 60.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)
