"""Compare the engine with onnxruntime and OpenVINO on this machine: python -m benchmarks.engine --help

Everybody computes a ResNet-50 of the same topology on the same CPUs, with one thread and with two, in interleaved
rounds of a fraction of a second each; those who are not measured are stopped. Ratios are medians over the rounds, of
figures that lie side by side, so a neighbour on a shared host slows both sides of a ratio alike. What a second thread
brings comes from the same rounds. Prints tables and writes JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet50_triton.network import engine
from resnet50_triton.network.parameters import Network

from benchmarks.common import machine
from benchmarks.common.rounds import interleave
from benchmarks.engine import layers, masked
from benchmarks.engine.contenders import MODELS, VENV, prepare
from benchmarks.engine.networks import random_network

HERE = Path(__file__).resolve().parent
ROUND_S = 0.4
WAIT_S = 60.0  # for a quiet machine, before each batch
PROBE_S = 1.0
# What a user gets for the time: top-1 accuracy on ImageNet as published for the class of network, in percent.
TOP1 = {
    "w1a2": (65, "Xilinx/ResNet50-PYNQ, the network of the card"),
    "w1a1": (70.7, "resnet50-binary-0001 of the Open Model Zoo"),
    "int8": (76, "ResNet-50 after quantization"),
    "fp32": (76, "ResNet-50"),
}


@dataclass(frozen=True)
class Contender:
    """Who takes part: a kind of worker and its model."""

    name: str
    kind: str
    model: str = ""
    precision: str = "int8"

    def images(self, batch: int, threads: int) -> int:
        """Images of one run."""
        return batch * (threads if self.kind == "openvino-streams" else 1)


OURS = Contender("engine", "engine", precision="w1a2")
BASELINES = (
    Contender("onnxruntime int8 (QDQ)", "onnxruntime", "qdq.onnx"),
    Contender("onnxruntime int8 (QOperator)", "onnxruntime", "qoperator.onnx"),
    Contender("openvino int8", "openvino", "nncf.xml"),
    Contender("openvino int8 (streams)", "openvino-streams", "nncf.xml"),
    Contender("openvino binary", "openvino", "binary.xml", "w1a1"),
    Contender("openvino binary (streams)", "openvino-streams", "binary.xml", "w1a1"),
    Contender("openvino fp32", "openvino", "fp32.onnx", "fp32"),
)


class Worker:
    """A contender's process; stopped except while it is measured."""

    def __init__(self, contender: Contender, batch: int, threads: int, network: Path, isa: str) -> None:
        ours = contender.kind == "engine"
        python = sys.executable if ours else str(VENV / "bin" / "python")
        model = network if ours else MODELS / contender.model
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), **{engine.ENVIRONMENT: isa})
        if isa == "avx2" and not ours:
            environment |= masked.environment(VENV, MODELS)
        command = [python, str(HERE / "worker.py"), contender.kind, str(model), str(batch), str(threads)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(command, text=True, env=environment, **pipes)  # type: ignore[call-overload]
        self.version = json.loads(self._answer())["version"]
        self._images = contender.images(batch, threads)
        self._runs = 1
        self._runs = max(1, round(ROUND_S * self.measure() / self._images))

    def _answer(self) -> str:
        line: str = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended:\n{self._process.stderr.read()}")
        return line

    def measure(self) -> float:
        """Images a second in one round."""
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write(f"{self._runs}\n")
        self._process.stdin.flush()
        seconds = float(self._answer())
        self._process.send_signal(signal.SIGSTOP)
        return self._runs * self._images / seconds

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # works on a stopped process too
        self._process.communicate()


def ratio(above: list[float], below: list[float]) -> float:
    """The median of the rounds' ratios."""
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 2)


def wait_until_quiet() -> float:
    """The share of the cores that others use, once it is small or the patience ends."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        neighbours = machine.Neighbours()
        time.sleep(PROBE_S)
        share = neighbours.share()
        if share <= machine.QUIET or time.monotonic() > deadline_s:
            return share


def take_part(threads: int, isa: str) -> list[Contender]:
    baselines = [p for p in BASELINES if threads > 1 or p.kind != "openvino-streams"]
    if isa == "avx2":
        baselines = [p for p in baselines if p.precision == "int8" and p.kind == "onnxruntime"]
    return [OURS, *baselines]


def compare(batch: int, threads: list[int], rounds: int, network: Path, isa: str) -> list[dict[str, Any]]:
    """A batch's lines of the table, one for each number of threads, all from the same rounds."""
    before = wait_until_quiet()
    neighbours = machine.Neighbours()
    versions: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        measures = {}
        for count in threads:
            for contender in take_part(count, isa):
                worker = stack.enter_context(Worker(contender, batch, count, network, isa))
                versions[contender.name] = worker.version
                measures[f"{contender.name} / {count}"] = worker.measure
        speeds = interleave(measures, rounds)
    disturbed = {"others_busy_before": before, "others_busy": neighbours.share()}
    return [line(batch, count, isa, speeds, versions) | disturbed for count in threads]


def line(
    batch: int, threads: int, isa: str, speeds: dict[str, list[float]], versions: dict[str, str]
) -> dict[str, Any]:
    """One line of the table: everybody's median and our ratios to them."""
    mine = {c: speeds[f"{c.name} / {threads}"] for c in take_part(threads, isa)}
    ratios = {c: ratio(mine[OURS], mine[c]) for c in mine if c is not OURS}
    best = min((c for c in ratios if c.precision == "int8"), key=lambda c: ratios[c])
    return {
        "batch": batch,
        "threads": threads,
        "images_per_s": {c.name: round(statistics.median(s), 1) for c, s in mine.items()},
        "ratio_to": {c.name: r for c, r in ratios.items()},
        "best_int8": best.name,
        "ratio_to_best_int8": ratios[best],
        "ratio_to_own_single_thread": ratio(mine[OURS], speeds[f"{OURS.name} / 1"]) if threads > 1 else None,
        "versions": {c.name: versions[c.name] for c in mine},
        "rounds": {c.name: [round(s, 1) for s in values] for c, values in mine.items()},
    }


def show(lines: list[dict[str, Any]]) -> None:
    """Print the table, a column for each line of it."""
    print("\nimages a second (medians of interleaved rounds); top-1: what is published for the class of network")
    heads = [f"b{at['batch']} t{at['threads']}" for at in lines]
    print(f"{'':30}{'top-1':>7}" + "".join(f"{head:>9}" for head in heads))
    for contender in (OURS, *BASELINES):
        if any(contender.name in at["images_per_s"] for at in lines):
            cells = "".join(f"{at['images_per_s'].get(contender.name, float('nan')):9.1f}" for at in lines)
            print(f"{contender.name:30}{TOP1[contender.precision][0]:6}%{cells}")
    print(f"{'engine to the best INT8':37}" + "".join(f"{at['ratio_to_best_int8']:9.2f}" for at in lines))
    second = "".join(f"{at['ratio_to_own_single_thread'] or float('nan'):9.2f}" for at in lines)
    print(f"{'engine to its single thread':37}{second}")
    busiest = max(max(at["others_busy"], at["others_busy_before"]) for at in lines)
    quiet = "quiet" if busiest <= machine.QUIET else "NOT quiet: measure again"
    print(f"others used at most {busiest:.1%} of the cores: {quiet}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="1 must be among them")
    parser.add_argument("--rounds", type=int, default=9, help="of all contenders, for each batch (default 9)")
    parser.add_argument(
        "--isa",
        choices=engine.engines()[:-1],
        default=engine.choose(),
        help="the engine's kernels; avx2 also forces onnxruntime to AVX2",
    )
    parser.add_argument("--network", type=Path, help="a net.npz (default: a random network)")
    options = parser.parse_args()
    if 1 not in options.threads:
        parser.error("--threads: 1 must be among them, for what the others bring")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no stopped worker stays behind

    prepare()
    made = machine.made("make bench-engine")
    network = Network.load(options.network) if options.network else random_network()
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.npz"
        path.write_bytes(network.to_bytes())
        for batch in options.batches:
            lines += compare(batch, sorted(options.threads), options.rounds, path, options.isa)
            for at in lines[-len(options.threads) :]:
                print(json.dumps({key: at[key] for key in ("batch", "threads", "ratio_to")}), flush=True)
    made["machine"]["others_busy"] = max(at["others_busy"] for at in lines)
    table = layers.profile(network, options.isa)
    layers.show(table)
    show(lines)
    result = {
        "made": made,
        "isa": options.isa,
        "network": str(options.network or "random"),
        "top1_percent": {name: {"published": percent, "of": of} for name, (percent, of) in TOP1.items()},
        "comparison": lines,
        "layers": table,
    }
    machine.write_result("engine", result)


if __name__ == "__main__":
    main()
