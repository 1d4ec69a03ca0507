"""What the tests of the runtime share."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from helpers import wait_for
from numpy.typing import NDArray
from resnet50_triton.cards import open_card
from resnet50_triton.runtime.instance import ModelInstance
from resnet50_triton.runtime.job import Computed, Job, JobResult, Outcome
from resnet50_triton.runtime.queue import State


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
        self.errors: list[BaseException] = []
        self.sent = 0
        self.parts: list[Computed] = []

    def job(self, images: int = 4, **options: Any) -> Job:
        """A request for the first images, over and over where more are asked for."""
        which = np.arange(images) % 4

        def take(outcome: Outcome) -> None:
            with self._got:
                if not isinstance(outcome, JobResult):
                    self.errors.append(outcome)
                elif np.array_equal(outcome.outputs, self._material.logits[which]):
                    self.right += 1
                    self.parts += outcome.parts
                else:
                    self.errors.append(AssertionError("a wrong result was answered"))
                self._got.notify_all()

        self.sent += 1
        return Job(self._material.pixels[which], take, **options)

    def send(self, instance: ModelInstance, *sizes: int) -> None:
        """Send requests in one go, as Triton's batcher does."""
        instance.scheduler.submit([self.job(size) for size in sizes])

    def wait(self, timeout_s: float = 60.0) -> None:
        """Wait until every request is answered, once."""
        with self._got:
            assert self._got.wait_for(lambda: self.right + len(self.errors) == self.sent, timeout_s), "requests lost"
        time.sleep(0.01)
        assert self.right + len(self.errors) == self.sent


def works_again(instance: ModelInstance, answers: Answers) -> None:
    """Hold a card to coming back, with nothing left of before."""
    wait_for(lambda: instance.metrics.value("resnet50_recoveries_total", card=instance.cards[0]) >= 1)
    wait_for(lambda: instance.scheduler.workers[0].queue.state is State.READY)
    right = answers.right
    answers.send(instance, 4)
    answers.wait()
    assert answers.right == right + 1
    # The reset forgot the buffers of before: there are those of one kernel.
    assert open_card(instance.cards[0]).programmed().memory.count() == 4 * 2 + 1
