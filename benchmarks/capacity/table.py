"""How one card's batches, waits and latencies follow its load, by the simulation: the table of docs/capacity.md.

make capacity-table, or with ARGS="--request-images 100" or "--cards 4": images/s are of each card.
"""

from __future__ import annotations

import argparse

from resnet50_triton.capacity.model import Machine
from resnet50_triton.capacity.simulation import simulate

from benchmarks.common.program import run

RATES = (250, 500, 1000, 1500, 2000, 2300, 2500, 2600, 2750)


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        prog="make capacity-table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cards", type=int, default=1, help="of the machine (default: %(default)s)")
    parser.add_argument("--request-images", type=int, default=1, help="images in a request (default: %(default)s)")
    args = parser.parse_args()
    machine = Machine(cards=args.cards, request_images=args.request_images)
    print("| images/s | of its peak | batch size | card busy | queue | wait | median | p99 | p99, formula |")
    print("|---|---|---|---|---|---|---|---|---|")
    for rate in RATES:
        load = rate * args.cards
        result = simulate(machine, load)
        times_ms = (1e3 * s for s in (result.percentile_s(50), result.percentile_s(99), machine.latency_at(load)))
        signals = f"{result.busy:.2f} | {result.queue_per_kernel:.2f} | {result.wait_per_kernel:.1f}"
        latencies = " | ".join(f"{ms:.1f} ms" for ms in times_ms)
        print(f"| {rate} | {load / machine.peak:.0%} | {result.batch:.1f} | {signals} | {latencies} |", flush=True)


if __name__ == "__main__":
    run(main)
