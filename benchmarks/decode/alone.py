"""The parts of the server by themselves, and what its processes use: for benchmarks that compare the whole with it."""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from pathlib import Path

import numpy as np
import psutil
from resnet50_triton.decode import DecodePool
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.server.deploy import Deployment

HERE = Path(__file__).resolve().parent


def instant_repository(deployment: Deployment, directory: Path) -> Path:
    """The deployment's models with the instant card in the place of resnet50."""
    # Named as hardware, so that the decoders get all cores; its place is taken by the instant card below.
    repository = dataclasses.replace(deployment, card="xrt:0").make_repository(directory)
    shutil.rmtree(repository / "resnet50")
    shutil.copytree(HERE / "instant_card", repository / "resnet50", ignore=shutil.ignore_patterns("__pycache__"))
    return repository


def processor_seconds(process: psutil.Process) -> dict[str, float]:
    """Of the server and its models, by name."""
    seconds = {"tritonserver": sum(process.cpu_times()[:2])}
    for child in process.children(recursive=True):
        model = re.search(r"/(\w+)/1/model.py", " ".join(child.cmdline()))
        if model:
            seconds[model[1]] = sum(child.cpu_times()[:2])
    return seconds


def decoding_alone(pool: DecodePool, files: list[bytes], seconds: float) -> dict[str, float]:
    """One round of our pool: always two batches in flight, so that no worker waits for the end of one."""
    start, cpu, images = time.monotonic(), time.process_time(), 0
    ahead = pool.submit(files)
    while time.monotonic() - start < seconds:
        batch, ahead = ahead, pool.submit(files)
        batch.result(600)
        images += len(files)
    ahead.result(600)
    images += len(files)
    return {
        "images_per_s": images / (time.monotonic() - start),
        "decoding ms": 1000 * (time.process_time() - cpu) / images,
    }


def network_alone(kernel: Kernel, pixels: np.ndarray, seconds: float) -> dict[str, float]:
    """One round of a card."""
    start, cpu, images = time.monotonic(), time.process_time(), 0
    while time.monotonic() - start < seconds:
        kernel.run(pixels)
        images += len(pixels)
    return {
        "images_per_s": images / (time.monotonic() - start),
        "network ms": 1000 * (time.process_time() - cpu) / images,
    }
