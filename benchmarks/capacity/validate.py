"""The capacity model against a real server: `make bench-capacity`.

One tritonserver with the timing card (an Alveo's time) takes a Poisson stream from perf_analyzer, pixels in shared
memory, at several rates. The simulation gets the card's latency model and three figures measured here: the time to
copy an image, and, from the first row, what is added to a request (`overhead_s`); it predicts the other rows.
perf_analyzer runs on the server's cores, so that its own cost is in the measured latencies.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from resnet50_triton.capacity.model import Machine
from resnet50_triton.capacity.simulation import simulate
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server

from benchmarks.common.machine import SAMPLE, made, write_result
from benchmarks.common.perf_analyzer import WINDOWS, analyze
from benchmarks.common.program import run
from benchmarks.common.repository import with_kernel_alone
from benchmarks.perf.observe import Observer

CASES = ((1, 100), (1, 300), (1, 600), (1, 1000), (8, 100), (8, 200), (8, 250))  # images, requests a second


@dataclass(frozen=True)
class Measured:
    """One row, as perf_analyzer and the server's metrics tell it."""

    images: int
    offered: float  # images a second
    rate: float
    p50_s: float
    p99_s: float
    batch: float
    copy_s: float  # an image
    busy: float  # share of the time that the card runs
    queue_per_kernel: float  # the signals of deploy/monitoring
    wait_per_kernel: float


def measure(server: Server, observer: Observer, images: int, requests: int, window_s: float) -> Measured:
    """Load the server for three windows, and look what it did."""
    observer.poll()  # what was counted before is not of this load
    point = analyze(server.grpc_url, "resnet50", batch=images, rate=requests, shared=True, seconds=WINDOWS * window_s)
    observer.rest()
    counted = observer.poll()
    kernel_s, total_s = counted.mean_s("kernel"), counted.mean_s("total")
    queue_s, batch = counted.triton_s("queue", "resnet50"), counted.mean_batch()
    return Measured(
        images=images,
        offered=float(requests * images),
        rate=point.images_per_s,
        p50_s=point.p50_s,
        p99_s=point.p99_s,
        batch=batch,
        copy_s=counted.sum("resnet50_copy_seconds_sum") / counted.sum("resnet50_batch_size_sum"),
        busy=kernel_s * point.images_per_s / batch,
        queue_per_kernel=queue_s / kernel_s,
        wait_per_kernel=(queue_s + total_s - kernel_s) / kernel_s,
    )


def main() -> int:
    """Measure, predict, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--window-s", type=float, default=4.0, help="of one measurement (default: %(default)s)")
    options = parser.parse_args()
    result: dict[str, Any] = {"made": made("make bench-capacity")}
    with tempfile.TemporaryDirectory(prefix="resnet50-capacity-") as scratch:
        deployment = Deployment.of_sample(SAMPLE, "timing:0")
        repository = with_kernel_alone(deployment.make_repository(Path(scratch) / "models"))
        with Server(repository) as server:
            server.wait_ready()
            observer = Observer(server.metrics_url)
            rows = []
            for images, requests in CASES:
                rows.append(measure(server, observer, images, requests, options.window_s))
                print(f"  {rows[-1]}", flush=True)
    first = rows[0]
    machine = Machine(copy_s=first.copy_s)
    machine = replace(machine, overhead_s=first.p50_s - simulate(machine, first.offered).percentile_s(50))
    before = result["made"]["machine"]["load_average_before"]
    print(f"\nload average before {before:.1f}; copy {1e3 * machine.copy_s:.3f} ms an image (first row), ", end="")
    print(f"overhead {1e3 * machine.overhead_s:.2f} ms a request (from the first row's median)\n")
    print("| images a request | images/s offered | measured | (model, measured:) batch size ", end="")
    print("| median | p99 | card busy | queue | wait |\n|---|---|---|---|---|---|---|---|---|")
    results = []
    for row in rows:
        model = simulate(replace(machine, request_images=row.images), row.offered)
        times = [(1e3 * model.percentile_s(q), 1e3 * t) for q, t in ((50, row.p50_s), (99, row.p99_s))]
        print(f"| {row.images} | {row.offered:.0f} | {row.rate:.0f} | {model.batch:.2f}, {row.batch:.2f} | ", end="")
        print(" | ".join(f"{a:.1f}, {b:.1f} ms" for a, b in times), end=" | ")
        signals = [(model.busy, row.busy), (model.queue_per_kernel, row.queue_per_kernel)]
        signals.append((model.wait_per_kernel, row.wait_per_kernel))
        print(" | ".join(f"{a:.2f}, {b:.2f}" for a, b in signals), "|")
        predicted = {"batch": model.batch, "p50_s": model.percentile_s(50), "p99_s": model.percentile_s(99)}
        results.append({"measured": asdict(row), "model": predicted})
    write_result("capacity", {**result, "rows": results})
    return 0


if __name__ == "__main__":
    run(main)
