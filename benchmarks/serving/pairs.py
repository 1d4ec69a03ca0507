"""Two requests that come together to an idle server, with the queue's timeouts and without: `make bench-pairs`.

Where a queue has a timeout, Triton 2.51 may overlook a request that comes while the `execute` of the one before
returns, until the next request comes or 0.5 s have passed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpc
from resnet50_triton.server.config import changed_config
from resnet50_triton.server.process import Server

from benchmarks.common.machine import SAMPLE
from benchmarks.common.repository import scratch_repository
from benchmarks.serving.load import Load, load

OVERLOOKED_S = 0.4
WARM_UP = 10  # pairs
PAUSE_S = 0.01  # between two pairs, so that the server is idle


def serve(stack: ExitStack, sample: Path, card: str, timeouts: bool) -> Load:
    """Requests of one image to a server with the kernel model alone."""
    repository = scratch_repository(stack, sample, card)
    if not timeouts:
        with changed_config(repository / "resnet50" / "config.pbtxt") as config:
            config.dynamic_batching.ClearField("default_queue_policy")
    server = stack.enter_context(Server(repository))
    server.wait_ready()
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    tensor = grpc.InferInput("PIXELS", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels)
    with grpc.InferenceServerClient(server.grpc_url) as client:
        logits = client.infer("resnet50", [tensor]).as_numpy("LOGITS")
    return stack.enter_context(load(server.grpc_url, pixels, logits, shared=False))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, default=SAMPLE)
    parser.add_argument("--card", default="timing:0")
    parser.add_argument("--pairs", type=int, default=400, help="for each server")
    options = parser.parse_args()
    with ExitStack() as stack:
        loads = {
            name: serve(stack, options.sample, options.card, timeouts)
            for name, timeouts in (("with timeouts", True), ("without timeouts", False))
        }
        times_s: dict[str, list[float]] = {name: [] for name in loads}
        for _ in range(WARM_UP + options.pairs):
            for name, load_of_one in loads.items():
                times_s[name].append(load_of_one.together(2))
                time.sleep(PAUSE_S)
    for name, all_s in times_s.items():
        values_s = all_s[WARM_UP:]
        overlooked = sum(value_s >= OVERLOOKED_S for value_s in values_s)
        print(
            f"{name:16} median {1e3 * statistics.median(values_s):.1f} ms, longest {1e3 * max(values_s):.1f} ms, "
            f"overlooked for 0.5 s in {overlooked} of {len(values_s)} pairs"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
