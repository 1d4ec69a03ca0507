"""A card whose runs take virtual time, that fails when told to, and that holds its users to the hardware's rules.

Pixels and outputs are numbers: image `n` has the pixels `n` and the outputs (n, 7 n + 1).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from resnet50_triton.errors import CardError, CardTimeout
from resnet50_triton.runtime.lease import Lease
from resnet50_triton.runtime.session import KernelSettings
from virtual_clock import VirtualClock

RUN_S, IMAGE_S = 2e-3, 1e-3
RUN_FAULTS = ("start", "wait", "hang", "late", "upload", "download")
FAULTS = (*RUN_FAULTS, "program", "reset", "vanish", "free")


def pixels_of(numbers: Sequence[int]) -> NDArray[np.uint8]:
    """uint8 (N, 224, 224, 3), all of them of three bytes an image."""
    base = np.array([(n & 255, n >> 8 & 255, n >> 16) for n in numbers], np.uint8)
    return np.lib.stride_tricks.as_strided(base, (len(base), 224, 224, 3), (3, 0, 0, 1))


def numbers_of(pixels: NDArray[np.uint8]) -> list[int]:
    """What `pixels_of` was given."""
    return [int(b) | int(g) << 8 | int(r) << 16 for b, g, r in pixels[:, 0, 0, :]]


def outputs_of(numbers: Sequence[int]) -> NDArray[np.int32]:
    """What the kernel computes: int32 (N, 2)."""
    return np.array([(n, 7 * n + 1) for n in numbers], np.int32)


class Reference:
    """The reference model of this network."""

    def outputs(self, pixels: Any) -> NDArray[np.int32]:
        numbers = pixels.numbers if isinstance(pixels, HostPixels) else numbers_of(pixels)
        return outputs_of(numbers)


@dataclass
class HostPixels:
    """The host's side of a buffer, or a part of it."""

    buffers: SimulatedBuffers
    first: int
    last: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), 224, 224, 3

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, part: slice) -> HostPixels:
        first, last, _ = part.indices(len(self))
        return HostPixels(self.buffers, self.first + first, self.first + last)

    @property
    def numbers(self) -> list[int]:
        return self.buffers.on_host[self.first : self.last]

    def write(self, pixels: NDArray[np.uint8]) -> None:
        self.buffers.write(self.first, numbers_of(pixels))


class SimulatedBuffers:
    """A buffer set."""

    def __init__(self, kernel: SimulatedKernel, batch_size: int) -> None:
        self.kernel = kernel
        self.on_host = [0] * batch_size
        self.on_card = [-1] * batch_size
        self.host_pixels = HostPixels(self, 0, batch_size)
        self.is_writing = False
        self.run: SimulatedRun | None = None  # of these buffers, the last

    def write(self, first: int, numbers: list[int]) -> None:
        card, clock = self.kernel.card, self.kernel.card.clock
        self._check_unused("written")
        if self.is_writing:
            card.clock.violate("two threads write to one buffer")
        self.is_writing = True
        self.on_host[first : first + len(numbers)] = numbers
        clock.switch()
        self._check_unused("written")
        self.is_writing = False

    def load(self, pixels: NDArray[np.uint8]) -> None:
        self.write(0, numbers_of(pixels))
        self.upload(len(pixels))

    def upload(self, images: int, first: int = 0) -> None:
        self._check_unused("uploaded")
        self.kernel.call("upload", is_driving=False)
        self.kernel.card.clock.sleep(1e-5)
        self._check_unused("uploaded")
        self.on_card[first:images] = self.on_host[first:images]

    def download(self, images: int) -> NDArray[np.int32]:
        kernel, run = self.kernel, self.run
        with kernel.driving():
            kernel.call("download")
            if run is None or not run.is_seen_done or images > run.batch_size:
                kernel.card.clock.violate("outputs are read of a run that was not seen done")
            assert run is not None
            outputs = outputs_of(run.numbers[:images])
            if kernel.card.take("wrong", kernel.owner):
                outputs[-1] += 1
        return outputs

    def _check_unused(self, what: str) -> None:
        if self.kernel.is_gone:
            self.kernel.card.clock.violate(f"a buffer is {what} that is free")
        if self.run is not None and not self.run.is_seen_done:
            self.kernel.card.clock.violate(f"a buffer is {what} while a run has it")


@dataclass(eq=False)
class SimulatedRun:
    batch_size: int
    numbers: list[int]  # what the pixels were as it was started
    end_s: float
    is_seen_done: bool = False


@dataclass
class SimulatedCard:
    """A card that several processes may have open."""

    name: str
    clock: VirtualClock
    rng: random.Random
    tells_ends: bool = False  # its kernels have `events`
    faults: Counter[str] = field(default_factory=Counter)
    flaky: dict[str, float] = field(default_factory=dict)  # the chance of a fault at every call
    hits: Counter[str] = field(default_factory=Counter)
    away_until_s: float = 0.0
    holder: str = ""  # the process that has the lease
    weights: SimulatedKernel | None = None  # whose weights are in the card's memory
    kernels: list[SimulatedKernel] = field(default_factory=list)  # open

    def take(self, fault: str, owner: str) -> bool:  # noqa: ARG002
        """Whether this fault is due, once."""
        if self.faults[fault]:
            self.faults[fault] -= 1
        elif self.rng.random() >= self.flaky.get(fault, 0.0):
            return False
        self.hits[fault] += 1
        return True

    def check_held(self, owner: str, what: str) -> None:
        if self.holder != owner:
            self.clock.violate(f"{owner} {what} '{self.name}', which '{self.holder}' holds")

    def reset(self, owner: str) -> None:
        """Reset the card for a process that has no kernel open on it."""
        self.check_held(owner, "resets")
        self.clock.sleep(self.rng.random() * 0.1)
        self.check_there()
        if self.take("reset", owner):
            raise CardError("reset refused")

    def check_there(self) -> None:
        if self.take("vanish", ""):
            self.away_until_s = self.clock.now_s + self.rng.random() * 2
        if self.clock.now_s < self.away_until_s:
            raise RuntimeError("No such device")


class SimulatedEvents:
    """As `Events`."""

    def __init__(self, clock: VirtualClock) -> None:
        self.ends_s: list[float] = []  # of runs
        self._clock, self._changed = clock, clock.condition()
        self._pokes = 0

    @property
    def events(self) -> int:
        return self._pokes + sum(end_s <= self._clock.now_s for end_s in self.ends_s)

    def wait_for_event(self, seen: int, timeout_s: float) -> None:
        limit_s = self._clock.now_s + timeout_s
        with self._changed:
            while self.events == seen and self._clock.now_s < limit_s:
                ahead_s = [end_s for end_s in self.ends_s if end_s > self._clock.now_s]
                self._changed.wait(min([limit_s, *ahead_s]) - self._clock.now_s)

    def poke(self) -> None:
        with self._changed:
            self._pokes += 1
            self._changed.notify_all()

    def expect(self, end_s: float) -> None:
        with self._changed:
            self.ends_s.append(end_s)
            self._changed.notify_all()


class SimulatedKernel:
    """As `Kernel`."""

    def __init__(self, card: SimulatedCard, owner: str, settings: KernelSettings) -> None:
        self.card, self.owner, self.settings = card, owner, settings
        self.batch_size = settings.batch_size
        self.is_gone = False  # closed, or reset
        self.failure = ""  # what failed, until the reset
        self.unfinished: list[SimulatedRun] = []
        self._driver: Any = None
        self.events = SimulatedEvents(card.clock) if card.tells_ends else None
        card.check_held(owner, "programs")
        for other in card.kernels:
            if other.settings.xclbin.uuid != settings.xclbin.uuid or other.owner == owner:
                card.clock.violate(f"{owner} programs '{card.name}', which {other.owner} has open")
        card.clock.sleep(card.rng.random() * 0.2)
        card.check_there()
        if card.take("program", owner):
            raise CardError("cannot be programmed")
        self.place_weights(settings.weights)
        card.kernels.append(self)
        self.buffers = tuple(SimulatedBuffers(self, self.batch_size) for _ in range(settings.buffer_sets))
        self.selftest_buffers = SimulatedBuffers(self, 1)

    def call(self, fault: str, is_driving: bool = True) -> None:
        """Whether the card takes a call; one that drives it and fails is the last before a reset."""
        clock = self.card.clock
        clock.switch()
        if is_driving:
            self.card.check_held(self.owner, "uses")
            if self.is_gone or self.failure:
                clock.violate(f"{fault} on a card that {'is closed' if self.is_gone else self.failure}")
        try:
            self.card.check_there()
            if self.card.take(fault, self.owner):
                raise RuntimeError(f"{fault} failed")  # as XRT's, where PYNQ hands it on
        except Exception:
            if is_driving:
                self.failure = f"failed ({fault})"
            raise

    def driving(self) -> _Driving:
        return _Driving(self)

    def place_weights(self, weights: Any) -> None:  # noqa: ARG002
        self.card.check_held(self.owner, "writes weights to")
        self.card.clock.switch()
        if self.card.weights is not None:
            self.card.clock.violate(f"there is no room for the weights of {self.owner}")
        self.card.check_there()
        self.card.weights = self

    def drop_weights(self) -> None:
        if self.unfinished:
            self.card.clock.violate("weights are dropped under a run")
        self._forget_weights()

    def _forget_weights(self) -> None:
        if self.card.weights is self:
            self.card.weights = None

    def start(self, buffers: SimulatedBuffers, batch_size: int) -> SimulatedRun:
        card, clock = self.card, self.card.clock
        with self.driving():
            self.call("start")
            if buffers.kernel is not self:
                clock.violate("a run has the buffers of another kernel")
            if buffers.run is not None and not buffers.run.is_seen_done:
                clock.violate("a buffer is in two runs")
            if card.weights is not self:
                clock.violate("a run without weights")
            numbers = buffers.on_card[:batch_size]
            if numbers != buffers.on_host[:batch_size]:
                clock.violate("a run of pixels that are not in the card's memory")
            begin_s = max([clock.now_s, *(run.end_s for run in self.unfinished)])
            took_s = (RUN_S + IMAGE_S * batch_size) * (0.9 + 0.2 * card.rng.random())
            if card.take("hang", self.owner):
                took_s = float("inf")
            elif card.take("late", self.owner):
                took_s += 2 * card.rng.random()
            buffers.run = SimulatedRun(batch_size, numbers, begin_s + took_s)
            self.unfinished.append(buffers.run)
            if self.events is not None:
                self.events.expect(buffers.run.end_s)
        return buffers.run

    def is_done(self, run: SimulatedRun, timeout_s: float | None) -> bool:
        clock = self.card.clock
        with self.driving():
            self.call("")
            left_s = run.end_s - clock.now_s
            if timeout_s is not None:
                left_s = min(left_s, timeout_s)
            if left_s > 0:
                clock.sleep(left_s)
            if self.is_gone:
                clock.violate("a card was reset or closed while somebody waited for it")
            if clock.now_s < run.end_s:
                return False
            self.call("wait")
            run.is_seen_done = True
            self.unfinished.remove(run)
        return True

    def wait(self, run: SimulatedRun, timeout_s: float | None) -> None:
        if not self.is_done(run, timeout_s):
            self.failure = "has missed a deadline"
            raise CardTimeout("a run took too long")

    def close(self) -> None:
        self._go()
        self._forget_weights()  # or, under a run, leaves them until the process ends
        if self.card.take("free", self.owner):
            raise RuntimeError("cannot free a buffer")

    def reset_card(self) -> None:
        self.card.check_held(self.owner, "resets")
        self._go()
        self.unfinished.clear()
        self._forget_weights()
        self.card.reset(self.owner)

    def _go(self) -> None:
        if self.is_gone:
            return
        if self._driver is not None:
            self.card.clock.violate("a kernel is closed while a thread drives it")
        for buffers in (*self.buffers, self.selftest_buffers):
            if buffers.is_writing:
                self.card.clock.violate("a buffer is freed while a thread writes to it")
        self.is_gone = True
        self.card.kernels.remove(self)
        self.card.clock.switch()


class _Driving:
    """Holds a kernel to one thread at a time."""

    def __init__(self, kernel: SimulatedKernel) -> None:
        self._kernel = kernel

    def __enter__(self) -> None:
        clock = self._kernel.card.clock
        if self._kernel._driver is not None:
            clock.violate(f"a card is driven by '{self._kernel._driver.name}' too")
        self._kernel._driver = clock.current

    def __exit__(self, *_: object) -> None:
        self._kernel._driver = None


class SimulatedLease(Lease):
    """The real lease, held to its rules."""

    card: SimulatedCard
    owner: str

    def acquire(self, timeout_s: float) -> None:
        super().acquire(timeout_s)
        if self.card.holder:
            self.card.clock.violate(f"{self.owner} and {self.card.holder} hold '{self.card.name}'")
        self.card.holder = self.owner

    def release(self) -> None:
        self._let_go()
        super().release()

    def close(self) -> None:
        if hasattr(self, "owner"):
            self._let_go()
        super().close()

    def _let_go(self) -> None:
        if self.card.holder != self.owner:
            return
        for kernel in self.card.kernels:
            if kernel.owner == self.owner and (kernel.unfinished or self.card.weights is kernel):
                self.card.clock.violate(f"{self.owner} lets go of '{self.card.name}' with something on it")
        self.card.holder = ""
