"""The capacity model against a real server: `make bench-capacity`.

One tritonserver with the timing card (an Alveo's time) takes a Poisson stream from perf_analyzer, pixels in shared
memory, at several rates. The simulation gets the card's curve and three figures measured here: the time to copy an
image, and, from the first row, what is added to a request (`overhead_s`); it predicts the other rows. perf_analyzer
runs on the server's cores, so that its own cost is in the measured latencies.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from resnet50_pynq.capacity.model import Machine
from resnet50_pynq.capacity.simulation import simulate
from resnet50_pynq.server.process import Server
from resnet50_pynq.server.repository import default_repository, make_repository

ROOT = Path(__file__).resolve().parents[3]
ANALYZER = ROOT / "build" / "perf_analyzer" / "perf_analyzer"
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


def counters(server: Server) -> dict[str, float]:
    """The model's sums so far; it publishes once a second."""
    time.sleep(2)
    text = urllib.request.urlopen(f"http://{server.metrics_url}/metrics").read().decode()
    found = re.findall(r"^(?:resnet50|nv_inference)_(\w+)\{[^}]*\} (\S+)$", text, re.M)
    return {name: float(value) for name, value in found}  # one model and one card, so that a name is enough


def measure(server: Server, images: int, requests: int, window_s: float, folder: Path) -> Measured:
    """Load the server; three windows of perf_analyzer's, the middle of its findings."""
    before = counters(server)
    report = folder / "report.csv"
    command = [str(ANALYZER), "-m", "resnet50", "-u", server.grpc_url, "-i", "grpc", "-b", str(images)]
    command += [
        "--request-rate-range",
        str(requests),
        "--request-distribution",
        "poisson",
        "--shared-memory",
        "system",
        "--async",
    ]
    command += ["--measurement-interval", str(int(1e3 * window_s)), "-s", "999", "-f", str(report)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    row = next(csv.DictReader(report.open()))
    after = counters(server)
    delta = {name: value - before.get(name, 0.0) for name, value in after.items()}
    kernel_s = delta["kernel_seconds_sum"] / delta["kernel_seconds_count"]
    queue_s = delta["queue_duration_us"] / 1e6 / delta["request_success"]
    total_s = delta["total_seconds_sum"] / delta["total_seconds_count"]
    batch, rate = delta["batch_images_sum"] / delta["batch_images_count"], float(row["Inferences/Second"])
    return Measured(
        images=images,
        offered=float(requests * images),
        rate=rate,
        p50_s=float(row["p50 latency"]) / 1e6,
        p99_s=float(row["p99 latency"]) / 1e6,
        batch=batch,
        copy_s=delta["copy_seconds_sum"] / delta["batch_images_sum"],
        busy=kernel_s * rate / batch,
        queue_per_kernel=queue_s / kernel_s,
        wait_per_kernel=(queue_s + total_s - kernel_s) / kernel_s,
    )


def main() -> int:
    """Measure, predict, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, default=ROOT / "build" / "sample")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench-capacity.json")
    parser.add_argument("--window-s", type=float, default=4.0, help="of one measurement (default: %(default)s)")
    options = parser.parse_args()
    if not ANALYZER.is_file():
        parser.error("no perf_analyzer: make perf-analyzer")
    with tempfile.TemporaryDirectory(prefix="resnet50-capacity-") as scratch:
        repository = make_repository(
            Path(scratch) / "models",
            default_repository(),
            options.sample / "card.xclbin",
            options.sample / "fcweights.csv",
            parameters={"resnet50": {"card": "timing:0"}},
        )
        for other in ("classify", "preprocess"):
            shutil.rmtree(repository / other)
        before = os.getloadavg()[0]
        with Server(repository) as server:
            server.wait_ready()
            rows = []
            for images, requests in CASES:
                rows.append(measure(server, images, requests, options.window_s, Path(scratch)))
                print(f"  {rows[-1]}", flush=True)
    first = rows[0]
    machine = Machine(copy_s=first.copy_s)
    machine = replace(machine, overhead_s=first.p50_s - simulate(machine, first.offered).percentile_s(50))
    print(f"\nload average before {before:.1f}; copy {1e3 * machine.copy_s:.3f} ms an image (first row), ", end="")
    print(f"overhead {1e3 * machine.overhead_s:.2f} ms a request (from the first row's median)\n")
    print("| images a request | images/s offered | measured | (model, measured:) images a start ", end="")
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
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"load_average_before": before, "rows": results}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
