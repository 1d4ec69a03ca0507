"""What each stage of a request's way could carry by itself, and which of them holds the whole up.

Each stage is measured alone, on all cores: decoding (our pool without a server), transport and queue (Triton with a
card that answers at once), copying into the card's buffers (one thread), the card (one run behind the other).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import tritonclient.grpc as grpc
from resnet50_triton.decode import DecodeOptions, DecodePool
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.weights import load_fc_weights

from benchmarks.common.machine import CORES, SAMPLE, sample_images
from benchmarks.common.perf_analyzer import analyze
from benchmarks.common.perf_data import write_images
from benchmarks.common.rounds import interleave
from benchmarks.decode.alone import decoding_alone, instant_repository, processor_seconds
from benchmarks.perf.cases import FULL, JPEG, PIXELS, SOFTWARE, TIMING

DECODE, TRANSPORT, COPY, CARD = "decode", "transport and queue", "copy", "card"
_SETUPS = (TIMING, SOFTWARE)


@dataclass(frozen=True)
class Stage:
    """What a stage does alone, and the processor time that an image costs there: 0 where a card leaves it free."""

    name: str
    images_per_s: float
    cpu_ms: float


@dataclass(frozen=True)
class Way:
    """One way through a server, and the most that was reached on it."""

    server: str
    input: str
    cores: int
    stages: tuple[Stage, ...]
    reached: float  # images/s

    @property
    def of_cores(self) -> float:
        """Images/s if the cores did nothing else than all stages."""
        return 1000 * self.cores / sum(stage.cpu_ms for stage in self.stages)

    @property
    def ceiling(self) -> float:
        """Images/s that no arrangement of the stages can pass: the slowest stage, or the cores that all share."""
        return min(self.of_cores, *(stage.images_per_s for stage in self.stages))

    @property
    def bottleneck(self) -> str:
        """The stage that holds the way up: one below what the cores allow, or else the one that takes most of them."""
        slowest = min(self.stages, key=lambda stage: stage.images_per_s)
        if slowest.images_per_s <= self.of_cores:
            return slowest.name
        return max(self.stages, key=lambda stage: stage.cpu_ms).name

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "of_cores": self.of_cores, "ceiling": self.ceiling, "bottleneck": self.bottleneck}


def measure_ceilings(seconds: float, rounds: int) -> dict[str, Stage]:
    """Every stage alone, in interleaved rounds of so many seconds each; medians."""
    files = [path.read_bytes() for path in sample_images()]
    pixels = np.random.default_rng(0).integers(0, 256, (FULL, 224, 224, 3), np.uint8)
    deployment = Deployment.of_sample(SAMPLE)
    weights = load_fc_weights(deployment.fcweights)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="resnet50-ceilings-")))
        instant = stack.enter_context(Server(instant_repository(deployment, scratch / "models")))
        jpegs = write_images(scratch / "jpegs.json", files)
        kernels = {
            setup.name: stack.enter_context(Kernel(deployment.xclbin, weights, setup.card, buffer_sets=2))
            for setup in _SETUPS
        }
        pool = DecodePool(CORES, DecodeOptions())
        stack.callback(pool.close)
        instant.wait_ready()
        measures: dict[str, Callable[[], Stage]] = {
            DECODE: partial(_decoding, pool, files, seconds),
            f"{TRANSPORT}, {PIXELS}": partial(_transport, instant, "resnet50", seconds, batch=FULL, shared=True),
            f"{TRANSPORT}, {JPEG}": partial(_transport, instant, "classify", seconds, batch=32, data=jpegs),
            COPY: partial(_copying, kernels[TIMING.name], pixels, seconds / 2),
            **{f"{CARD}, {name}": partial(_running, kernel, seconds) for name, kernel in kernels.items()},
        }
        measured = interleave(measures, rounds)
    return {
        name: Stage(stages[0].name, median(s.images_per_s for s in stages), median(s.cpu_ms for s in stages))
        for name, stages in measured.items()
    }


def ways(measured: dict[str, Stage], rows: Sequence[dict[str, Any]]) -> list[Way]:
    """Every way through the servers.

    Args:
        measured: of `measure_ceilings`.
        rows: of the result of `make bench`, for what was reached.
    """
    found = []
    for setup in _SETUPS:
        for kind in (PIXELS, JPEG):
            rates = [median(r["images_per_s"]) for r in rows if (r["server"], r["input"]) == (setup.name, kind)]
            if not rates:
                continue
            road, card, stages = measured[f"{TRANSPORT}, {kind}"], measured[f"{CARD}, {setup.name}"], []
            if kind == JPEG:  # what the road of JPEGs costs has decoding in it
                stages.append(measured[DECODE])
                road_ms = max(road.cpu_ms - measured[DECODE].cpu_ms, 1e-3)
                road = Stage(TRANSPORT, 1000 * CORES / road_ms, road_ms)
            if setup is TIMING:
                card = Stage(CARD, card.images_per_s, 0.0)
            found.append(Way(setup.name, kind, CORES, (*stages, road, measured[COPY], card), max(rates)))
    return found


def _decoding(pool: DecodePool, files: list[bytes], seconds: float) -> Stage:
    alone = decoding_alone(pool, files, seconds)
    return Stage(DECODE, alone["images_per_s"], alone["decoding ms"])


def _transport(server: Server, model: str, seconds: float, **load: Any) -> Stage:
    """Images/s of a server whose card answers at once, and the processor time of it and of its client."""
    process = psutil.Process(server.process.pid)
    with grpc.InferenceServerClient(server.grpc_url) as client:
        count, before_s = _images(client, model), processor_seconds(process)
        point = analyze(server.grpc_url, model, seconds=seconds, **{"concurrency": 4, **load})
        # The warm-up is in both, images and processor time.
        count, after_s = _images(client, model) - count, processor_seconds(process)
    used_s = sum(after_s.values()) - sum(before_s.values()) + point.client_cpu_s
    return Stage(TRANSPORT, point.images_per_s, 1000 * used_s / count)


def _images(client: grpc.InferenceServerClient, model: str) -> int:
    return int(client.get_inference_statistics(model).model_stats[0].inference_count)


def _copying(kernel: Kernel, pixels: np.ndarray, seconds: float) -> Stage:
    begin_s, cpu_s, images = time.monotonic(), time.process_time(), 0
    while time.monotonic() - begin_s < seconds:
        kernel.buffers[0].load(pixels)
        images += len(pixels)
    return Stage(COPY, images / (time.monotonic() - begin_s), 1000 * (time.process_time() - cpu_s) / images)


def _running(kernel: Kernel, seconds: float) -> Stage:
    """One run always queued behind the other, on images that are in the card's memory."""
    first, second = kernel.buffers[:2]
    begin_s, cpu_s, images = time.monotonic(), time.process_time(), 0
    running = kernel.start(first, FULL)
    while time.monotonic() - begin_s < seconds:
        queued = kernel.start(second, FULL)
        kernel.wait(running, None)
        running, first, second = queued, second, first
        images += FULL
    kernel.wait(running, None)
    images += FULL
    return Stage(CARD, images / (time.monotonic() - begin_s), 1000 * (time.process_time() - cpu_s) / images)
