"""What Triton costs: images a second and latency through the server against kernel.py in a loop: `make bench-serving`.

All are measured in interleaved rounds, so that whatever else the machine does hits all alike; the ratios are medians
of the rounds.
The latency is perf_analyzer's median, and beside it that of NVIDIA's Python client, which adds its own.

On the software card the server, the client and the network share the CPU. The timing card leaves it free, as an
Alveo does, and takes an Alveo's published time: it shows what the host side carries at that rate. "simple" is the
synchronous model of `synchronous/`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.server.process import Server
from resnet50_triton.weights import load_fc_weights

from benchmarks.common.machine import SAMPLE, Neighbours, made, write_result
from benchmarks.common.perf_analyzer import analyze
from benchmarks.common.repository import scratch_repository
from benchmarks.common.rounds import interleave
from benchmarks.serving.load import Load, load

CASES = ((32, True), (32, False), (100, True), (100, False))  # images a request, shared memory
IN_FLIGHT = 3  # requests
TARGET_RATIO = 0.95
TARGET_ADDED_S = 1e-3
# A turn of latency has parts, each a way beside the kernel: a shared machine changes its speed within seconds.
PARTS = 4
CALLS = 30  # of the Python client, and of the kernel, in a part


def serve(stack: ExitStack, sample: Path, card: str, simple: bool) -> Server:
    """A server with the kernel model alone."""
    repository = scratch_repository(stack, sample, card)
    if simple:
        shutil.copy(Path(__file__).parent / "synchronous" / "1" / "model.py", repository / "resnet50" / "1")
    server = stack.enter_context(Server(repository))
    server.wait_ready()
    return server


def kernel_rate(kernel: Kernel, pixels: Any, seconds: float) -> float:
    """Images a second of kernel.py called in a loop."""
    begin_s = time.perf_counter()
    images = 0
    while (elapsed_s := time.perf_counter() - begin_s) < seconds:
        kernel.run(pixels)
        images += len(pixels)
    return images / elapsed_s


def kernel_time(kernel: Kernel, pixels: Any) -> float:
    """Seconds of one call."""
    begin_s = time.perf_counter()
    kernel.run(pixels)
    return time.perf_counter() - begin_s


def bench(card: str, sample: Path, rounds: int, seconds: float, cases: Sequence[tuple[int, bool]]) -> dict[str, Any]:
    """All figures of one card; `cases` of throughput."""
    pixels = np.random.default_rng(0).integers(0, 256, (100, 224, 224, 3), np.uint8)
    rows = []
    with ExitStack() as stack:
        kernel = stack.enter_context(Kernel(sample / "card.xclbin", load_fc_weights(sample / "fcweights.csv"), card))
        logits = kernel.run(pixels).logits
        if logits is None:
            raise SystemExit(f"{sample}/card.xclbin has the top-5 kernel, and its logits are compared")
        expected = logits.astype(np.float32)
        servers = {"pipelined": serve(stack, sample, card, False), "simple": serve(stack, sample, card, True)}

        def loads(images: int, shared: bool) -> dict[str, Load]:
            return {
                name: stack.enter_context(load(server.grpc_url, pixels[:images], expected[:images], shared))
                for name, server in servers.items()
            }

        for images, shared in cases:
            measures = {n: (lambda x=x: x.many(seconds, IN_FLIGHT)) for n, x in loads(images, shared).items()}
            measures["kernel"] = lambda images=images: kernel_rate(kernel, pixels[:images], seconds)
            values = interleave(measures, rounds)
            row = {"batch": images, "transport": "shared memory" if shared else "gRPC"}
            for name, rates in values.items():
                ratios = [rate / base for rate, base in zip(rates, values["kernel"], strict=True)]
                row[name] = {"images_per_s": statistics.median(rates), "ratio": statistics.median(ratios)}
            rows.append(row)
            print(f"  {images:3} images, {row['transport']:13}", *(_rate(n, row[n]) for n in measures), flush=True)
        clients = {name: x.one for name, x in loads(1, False).items()}
        latency = latencies(servers, clients, lambda: kernel_time(kernel, pixels[:1]), rounds, seconds)
    return {"card": card, "throughput": rows, "latency": latency}


def latencies(
    servers: dict[str, Server],
    clients: dict[str, Callable[[], float]],
    kernel_time: Callable[[], float],
    rounds: int,
    seconds: float,
) -> dict[str, dict[str, Any]]:
    """One image at a time, in seconds: the median of each way, and what it adds to kernel.py just before and after."""
    kernel_s: list[float] = []

    def added_to_kernel(ask: Callable[[], float]) -> tuple[float, float]:
        """The median of a way, and what it adds."""
        times_s, kernel_times_s = [], [_median_of(kernel_time)]
        for _ in range(PARTS):
            times_s.append(ask())
            kernel_times_s.append(_median_of(kernel_time))
        kernel_s.extend(kernel_times_s)
        added_s = [time_s - sum(kernel_times_s[i : i + 2]) / 2 for i, time_s in enumerate(times_s)]
        return statistics.median(times_s), statistics.median(added_s)

    ways: dict[str, Callable[[], float]] = {}
    for name, server in servers.items():
        for shared in (False, True):
            way = f"{name}, perf_analyzer, {'shared memory' if shared else 'gRPC'}"
            ways[way] = lambda url=server.grpc_url, shared=shared: (
                analyze(url, "resnet50", shared=shared, seconds=seconds / PARTS).p50_s
            )
        ways[f"{name}, tritonclient, gRPC"] = lambda call=clients[name]: _median_of(call)
    times = interleave({way: lambda ask=ask: added_to_kernel(ask) for way, ask in ways.items()}, rounds)
    latency: dict[str, dict[str, Any]] = {"kernel": {"median_s": statistics.median(kernel_s)}}
    print(f"    1 image, {'kernel.py in a loop':40} {1e3 * latency['kernel']['median_s']:6.2f} ms")
    for way, values in times.items():
        turns_s = [added_s for _, added_s in values]
        median_s, added_s = statistics.median(time_s for time_s, _ in values), statistics.median(turns_s)
        latency[way] = {"median_s": median_s, "added_s": added_s, "turns_s": turns_s}
        turns = " ".join(f"{1e3 * turn_s:.2f}" for turn_s in turns_s)
        print(f"    1 image, {way:40} {1e3 * median_s:6.2f} ms, added {1e3 * added_s:5.2f} ms ({turns})")
    return latency


def _median_of(call: Callable[[], float]) -> float:
    return statistics.median(call() for _ in range(CALLS))


def _rate(name: str, row: dict[str, float]) -> str:
    return f"{name} {row['images_per_s']:7.1f}/s ({row['ratio']:.3f})  "


def main() -> int:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, default=SAMPLE)
    parser.add_argument("--cards", default="software:0,timing:0")
    parser.add_argument("--latency-only", action="store_true", help="one image at a time alone; writes no result")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load a round")
    options = parser.parse_args()
    cases = () if options.latency_only else CASES
    result: dict[str, Any] = {"made": made("make bench-serving"), "cards": []}
    neighbours = Neighbours()
    for card in options.cards.split(","):
        print(f"{card}: images a second, and the ratio to kernel.py in a loop")
        result["cards"].append(bench(card, options.sample, options.rounds, options.seconds, cases))
    if not options.latency_only:
        neighbours.note(result["made"])
        write_result("serving", result)
        worst = min(row["pipelined"]["ratio"] for card in result["cards"] for row in card["throughput"])
        print(f"worst ratio {worst:.3f}: {_verdict(worst >= TARGET_RATIO)} (aim: at least {TARGET_RATIO})")
    for card in result["cards"]:
        added = card["latency"]["pipelined, perf_analyzer, gRPC"]
        verdict = _verdict(added["added_s"] <= TARGET_ADDED_S)
        met = sum(turn_s <= TARGET_ADDED_S for turn_s in added["turns_s"])
        turns = f"in {met} of {len(added['turns_s'])} turns"
        print(f"{card['card']}: added to one image {1e3 * added['added_s']:.2f} ms: {verdict}, {turns} (aim: 1 ms)")
    return 0


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    raise SystemExit(main())
