"""Presets: ways to run the models that have a name. The ready ones are files, <model>/configs/<preset>.pbtxt, which
tritonserver itself knows as --model-config-name; `auto` is chosen for the card by `tuning`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadParameter
from .config import changed_config, read_config

READY = ("latency", "throughput")
AUTO = "auto"
LATENCY_TARGET_MS = 50.0  # what the original expects of its settings for throughput


@dataclass(frozen=True)
class Batching:
    """The most images in a start, and how long a batch waits to fill."""

    images: int
    delay_s: float


def take_preset(repository: Path, name: str) -> None:
    """Put a preset's files in the place of the models' config.pbtxt. Raises BadParameter where there are none."""
    files = list(repository.glob(f"*/configs/{name}.pbtxt"))
    if not files:
        raise BadParameter(f"preset '{name}': no model of the repository has a configs/{name}.pbtxt")
    for path in files:
        shutil.copyfile(path, path.parents[1] / "config.pbtxt")


def set_batching(repository: Path, batching: Batching) -> None:
    """Make the kernel model form such batches."""
    with changed_config(repository / "resnet50" / "config.pbtxt") as config:
        config.parameters["kernel_batch_size"].string_value = str(batching.images)
        del config.dynamic_batching.preferred_batch_size[:]
        config.dynamic_batching.max_queue_delay_microseconds = round(1e6 * batching.delay_s)
        if batching.delay_s:  # or Triton would wait although the batch is full
            config.dynamic_batching.preferred_batch_size.append(batching.images)


def describe(repository: Path) -> str:
    """What a repository's models are set to, of what presets set."""
    kernel = read_config(repository / "resnet50" / "config.pbtxt")
    images = int(kernel.parameters["kernel_batch_size"].string_value or 0) or kernel.max_batch_size
    delay_ms = kernel.dynamic_batching.max_queue_delay_microseconds / 1e3
    facts = [
        f"at most {images} image{'s' if images > 1 else ''} in a start of the card",
        f"a batch waits up to {delay_ms:g} ms to fill" if delay_ms else "no batch waits to fill",
    ]
    if (path := repository / "preprocess" / "config.pbtxt").is_file():
        facts.append(f"{read_config(path).parameters['decode_workers'].string_value} decoding threads")
    return ", ".join(facts)
