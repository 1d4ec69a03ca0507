"""Computes a file of pixels on one card, without Triton."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadPixels
from ..files import write_atomically
from ..ranking import top5
from ..runtime.job import FutureJob
from .opened import open_instance


def run_file(xclbin: Path, fcweights: Path, card: str, pixels: Path, output: Path) -> tuple[int, float]:
    """Run pixels through the card and write `logits` int32 (N, 1000), where the kernel has them, and `top5`.

    Args:
        pixels: .npy of uint8 (N, 224, 224, 3), B, G, R.
        output: .npz with `top5` uint32 (N, 5), and `logits` with a logits kernel.

    Returns:
        The number of images, and the seconds that the card took.

    Raises:
        BadPixels: `pixels` is not such a file.
    """
    try:
        images = np.load(pixels, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadPixels(f"cannot read pixels {pixels}: {error}; a .npy of uint8 (N, 224, 224, 3) is needed") from error
    job = FutureJob(images)
    with open_instance("run", xclbin, fcweights, card) as instance:
        start_s = time.perf_counter()
        instance.scheduler.submit([job])
        outputs = job.future.result().outputs
        elapsed_s = time.perf_counter() - start_s
    arrays: dict[str, NDArray[Any]] = {"top5": outputs}
    if instance.xclbin.kernel == "logits":
        arrays = {"top5": top5(outputs), "logits": outputs}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(output, buffer.getvalue())
    return len(images), elapsed_s
