"""Two requests that come together to an idle server, with the queue's timeouts and without: `make bench-pairs`.

Where a queue has a timeout, Triton 2.51 may overlook a request that comes while the `execute` of the one before
returns, until the next request comes or 0.5 s have passed.
"""

from __future__ import annotations

import argparse
import queue
import re
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as grpc
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server

from benchmarks.common.machine import SAMPLE
from benchmarks.common.repository import with_kernel_alone

OVERLOOKED_S = 0.4
WARM_UP = 10  # pairs
PAUSE_S = 0.01  # between two pairs, so that the server is idle
_POLICY = re.compile(r"\s*default_queue_policy \{.*?\}", re.DOTALL)


def serve(stack: ExitStack, sample: Path, card: str, timeouts: bool) -> grpc.InferenceServerClient:
    """A client of a server with the kernel model alone."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="resnet50-bench-")))
    repository = with_kernel_alone(Deployment.of_sample(sample, card).make_repository(folder / "models"))
    config = repository / "resnet50" / "config.pbtxt"
    if not timeouts:
        config.write_text(_POLICY.sub("", config.read_text()))
    assert timeouts is ("default_queue_policy" in config.read_text())
    server = stack.enter_context(Server(repository))
    server.wait_ready()
    return stack.enter_context(grpc.InferenceServerClient(server.grpc_url))


def pair(client: grpc.InferenceServerClient) -> float:
    """Send two requests; the seconds until both are answered."""
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    tensor = grpc.InferInput("PIXELS", pixels.shape, "UINT8")
    tensor.set_data_from_numpy(pixels)
    errors: queue.Queue[Any] = queue.Queue()
    begin_s = time.perf_counter()
    for _ in range(2):
        client.async_infer("resnet50", [tensor], lambda result, error: errors.put(error))  # noqa: ARG005  named so
    for _ in range(2):
        error = errors.get(timeout=60)
        if error is not None:
            raise error
    took_s = time.perf_counter() - begin_s
    time.sleep(PAUSE_S)
    return took_s


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, default=SAMPLE)
    parser.add_argument("--card", default="timing:0")
    parser.add_argument("--pairs", type=int, default=400, help="for each server")
    options = parser.parse_args()
    with ExitStack() as stack:
        clients = {
            name: serve(stack, options.sample, options.card, timeouts)
            for name, timeouts in (("with timeouts", True), ("without timeouts", False))
        }
        times_s: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(WARM_UP + options.pairs):
            for name, client in clients.items():
                times_s[name].append(pair(client))
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
