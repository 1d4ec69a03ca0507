"""Measures the stages alone and the whole, with the processor time of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import tritonclient.grpc as grpc
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.server.process import Server

from benchmarks.common.machine import CORES, busy_s
from benchmarks.common.perf_analyzer import analyze
from benchmarks.common.rounds import in_turns
from benchmarks.decode.alone import processor_seconds

CLIENT = "client"


@dataclass(frozen=True)
class Load:
    """What perf_analyzer sends: to `resnet50` random pixels, to `classify` the images in a file."""

    model: str
    protocol: str = "grpc"
    batch: int = 1
    concurrency: int = 64
    shared: bool = False


@dataclass(frozen=True)
class Reached:
    """What a load reached: images/s, and ms of processor time an image by process (the client's is CLIENT)."""

    images_per_s: float
    cpu_ms: dict[str, float]
    others: float = 0.0  # share of the cores that other programs used; of a whole server only

    @property
    def total_ms(self) -> float:
        """Of all processes."""
        return sum(self.cpu_ms.values())


def loaded(server: Server, load: Load, images: Path, seconds: float) -> Reached:
    """Put a load on a server for so long."""
    process = psutil.Process(server.process.pid)
    with grpc.InferenceServerClient(server.grpc_url) as client:
        count, before = _images(client, load.model), processor_seconds(process)
        begin_s, busy = time.monotonic(), busy_s()
        point = analyze(
            server.http_url if load.protocol == "http" else server.grpc_url,
            load.model,
            protocol=load.protocol,
            batch=load.batch,
            concurrency=load.concurrency,
            shared=load.shared,
            data=images if load.model == "classify" else None,
            seconds=seconds,
        )
        # The warm-up is in both, images and processor time.
        count, after = _images(client, load.model) - count, processor_seconds(process)
        ours_s = sum(after.values()) - sum(before.values()) + point.client_cpu_s
        others = max(0.0, busy_s() - busy - ours_s) / (CORES * (time.monotonic() - begin_s))
    cpu_ms = {name: 1000 * (after[name] - before[name]) / count for name in after}
    return Reached(point.images_per_s, {**cpu_ms, CLIENT: 1000 * point.client_cpu_s / count}, others)


def _images(client: grpc.InferenceServerClient, model: str) -> int:
    return int(client.get_inference_statistics(model).model_stats[0].inference_count)


def copying(kernel: Kernel, pixels: np.ndarray, seconds: float) -> Reached:
    """Copy images into the card's buffers, on one thread, as the model does."""
    start, cpu, images = time.monotonic(), time.process_time(), 0
    while time.monotonic() - start < seconds:
        kernel.buffers[0].load(pixels)
        images += len(pixels)
    return Reached(images / (time.monotonic() - start), {"copy": 1000 * (time.process_time() - cpu) / images})


def starting(kernel: Kernel, images: int, seconds: float) -> Reached:
    """The card's own rate: one start always queued behind the other, on images that are in its memory."""
    first, second = kernel.buffers[:2]
    for buffers in (first, second):
        buffers.load(np.zeros((images, *buffers.host_pixels.shape[1:]), np.uint8))
    kernel.wait(kernel.start(first, images), None)  # warm
    start, cpu, done = time.monotonic(), time.process_time(), 0
    running = kernel.start(first, images)
    while time.monotonic() - start < seconds:
        queued = kernel.start(second, images)
        kernel.wait(running, None)
        running, first, second = queued, second, first
        done += images
    kernel.wait(running, None)
    elapsed_s, cpu_s = time.monotonic() - start, time.process_time() - cpu
    return Reached((done + images) / elapsed_s, {"card": 1000 * cpu_s / (done + images)})


def alone(turn: dict[str, float]) -> Reached:
    """What benchmarks.decode.alone measured."""
    return Reached(turn["images_per_s"], {name: value for name, value in turn.items() if name.endswith(" ms")})


def medians(measures: dict[str, Callable[[], Reached]], turns: int) -> dict[str, Reached]:
    """Measure each so many times, in turns, and keep the medians."""

    def tell(turn: int, name: str, reached: Reached) -> None:
        print(f"  turn {turn}: {name}: {reached.images_per_s:,.0f} images/s", flush=True)

    return {name: _median(values) for name, values in in_turns(measures, turns, tell).items()}


def _median(values: list[Reached]) -> Reached:
    return Reached(
        median(value.images_per_s for value in values),
        {name: median(value.cpu_ms[name] for value in values) for name in values[0].cpu_ms},
        median(value.others for value in values),
    )
