"""What a second thread brings: the engine with one and with two, and two processes with one each, in turns.

The two processes are pinned to a CPU each and share nothing: what they reach together is what the machine can give (its
CPUs may be halves of one core, or busy with a neighbour's work). Prints medians over turns that lie side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from networks import random_network
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import Network


def work(network: str, threads: int, batch: int) -> None:
    """A worker: for every line with a number of seconds, compute that long and print images a second."""
    engine = open_engine(Network.load(network), threads)
    pixels = np.random.default_rng(1).integers(0, 256, (batch, 224, 224, 3), np.uint8)
    weights = np.zeros((1000, 2048), np.int8)
    engine.logits(pixels, weights)
    print("ready", flush=True)
    for line in sys.stdin:
        begin_s, images = time.monotonic(), 0
        while time.monotonic() - begin_s < float(line):
            engine.logits(pixels, weights)
            images += batch
        print(images / (time.monotonic() - begin_s), flush=True)


class Worker:
    """A process that runs `work`; on the CPUs given, or on all."""

    def __init__(self, network: str, threads: int, batch: int, cpus: set[int] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", network, str(threads), str(batch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if cpus:
            os.sched_setaffinity(self.process.pid, cpus)
        self.read()

    def read(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def begin(self, seconds: float) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.communicate()


def together(workers: list[Worker], seconds: float) -> float:
    """Images a second of workers that compute at the same time."""
    for worker in workers:
        worker.begin(seconds)
    return sum(float(worker.read()) for worker in workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.7, help="of each turn")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("-o", "--output", type=Path, help="JSON")
    args = parser.parse_args()
    first, second = sorted(os.sched_getaffinity(0))[:2]
    rows = []
    print("batch  one thread  two threads  two processes   threads 2/1   processes 2/1   (medians of paired turns)")
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "net.npz"
        network.write_bytes(random_network(0).to_bytes())
        for batch in args.batches:
            one, two = Worker(str(network), 1, batch), Worker(str(network), 2, batch)
            pair = [Worker(str(network), 1, batch, {first}), Worker(str(network), 1, batch, {second})]
            turns = []
            for _ in range(args.turns):
                single, double, both = (together(workers, args.seconds) for workers in ([one], [two], pair))
                turns.append((single, double, both, double / single, both / single))
            medians = [statistics.median(column) for column in zip(*turns, strict=True)]
            rows.append({"batch": batch, "medians": medians, "turns": turns})
            print("{:5d}  {:10.1f}  {:11.1f}  {:13.1f}   {:11.2f}   {:13.2f}".format(batch, *medians), flush=True)
            for worker in (one, two, *pair):
                worker.end()
    if args.output:
        args.output.write_text(json.dumps({"scaling": rows}, indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
