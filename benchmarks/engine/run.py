"""Compare the engine with onnxruntime and OpenVINO on this machine: python benchmarks/engine/run.py --help

Everybody computes a ResNet-50 of the same topology on the same CPUs, in turns of a fraction of a second; those who are
not at their turn are stopped. Ratios are medians over turns that lie side by side, so a neighbour on a shared host
slows both sides of a ratio alike. Prints two tables and writes JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import layers
import masked
from contenders import BUILD, MODELS, VENV, prepare
from networks import random_network
from resnet50_triton.network import engine
from resnet50_triton.network.parameters import Network

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Contender:
    """Who takes part: a kind of worker and its model."""

    name: str
    kind: str
    model: str = ""
    precision: str = "int8"

    def images(self, batch: int, threads: int) -> int:
        return batch * (threads if self.kind == "openvino-streams" else 1)


OURS = Contender("engine", "engine", precision="w1a2")
PEERS = (
    Contender("onnxruntime int8 (QDQ)", "onnxruntime", "qdq.onnx"),
    Contender("onnxruntime int8 (QOperator)", "onnxruntime", "qoperator.onnx"),
    Contender("openvino int8", "openvino", "nncf.xml"),
    Contender("openvino int8 (streams)", "openvino-streams", "nncf.xml"),
    Contender("onnxruntime fp32", "onnxruntime", "fp32.onnx", "fp32"),
    Contender("openvino fp32", "openvino", "fp32.onnx", "fp32"),
)


class Worker:
    """A contender's process; stopped except at its turn."""

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
        self._runs = max(1, round(TURN_S * self.turn() / self._images))

    def _answer(self) -> str:
        line: str = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended:\n{self._process.stderr.read()}")
        return line

    def turn(self) -> float:
        """Images a second over one turn."""
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


TURN_S = 0.4


def compare(batch: int, threads: int, rounds: int, network: Path, isa: str) -> dict[str, Any]:
    """One line of the table: everybody's median and our ratios to them."""
    peers = [p for p in PEERS if threads > 1 or p.kind != "openvino-streams"]
    if isa == "avx2":
        peers = [p for p in peers if p.precision == "int8" and p.kind == "onnxruntime"]
    speeds: dict[Contender, list[float]] = {c: [] for c in (OURS, *peers)}
    with contextlib.ExitStack() as stack:
        workers = {c: stack.enter_context(Worker(c, batch, threads, network, isa)) for c in speeds}
        for _ in range(rounds):
            for contender, worker in workers.items():
                speeds[contender].append(worker.turn())
    medians = {c.name: round(statistics.median(s), 1) for c, s in speeds.items()}
    ratios = {
        c.name: round(statistics.median(a / b for a, b in zip(speeds[OURS], speeds[c], strict=True)), 2) for c in peers
    }
    best = min((c for c in peers if c.precision == "int8"), key=lambda c: ratios[c.name])
    return {
        "batch": batch,
        "threads": threads,
        "isa": isa,
        "images_per_s": medians,
        "ratio_to": ratios,
        "best_int8": best.name,
        "ratio_to_best_int8": ratios[best.name],
        "versions": {c.name: w.version for c, w in workers.items()},
        "turns": {c.name: [round(s, 1) for s in speeds[c]] for c in workers},
    }


def scaling(batches: list[int], rounds: int, network: Path, isa: str) -> dict[int, float]:
    """From 1 to 2 threads: the median ratio of turns side by side, for each batch."""
    result = {}
    for batch in batches:
        with Worker(OURS, batch, 1, network, isa) as one, Worker(OURS, batch, 2, network, isa) as two:
            result[batch] = round(statistics.median(1 / (one.turn() / two.turn()) for _ in range(2 * rounds)), 2)
    return result


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def print_comparison(lines: list[dict[str, Any]]) -> None:
    names = list(lines[-1]["images_per_s"])
    print("\nimages a second (medians), and the engine's ratio to the best INT8")
    print("batch threads  " + "  ".join(f"{name:>{max(8, len(name))}}" for name in names) + "  ratio")
    for line in lines:
        speeds = line["images_per_s"]
        cells = "  ".join(f"{speeds.get(name, float('nan')):{max(8, len(name))}.1f}" for name in names)
        print(f"{line['batch']:5} {line['threads']:7}  {cells}  {line['ratio_to_best_int8']:5.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contender (default 9)")
    parser.add_argument(
        "--isa",
        choices=engine.engines()[:-1],
        default=engine.choose(),
        help="the engine's kernels; avx2 also forces onnxruntime to AVX2",
    )
    parser.add_argument("--network", type=Path, help="a net.npz (default: a random network)")
    parser.add_argument("--output", type=Path, default=BUILD / "bench-engine.json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no stopped worker stays behind

    prepare()
    network = Network.load(options.network) if options.network else random_network()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.npz"
        path.write_bytes(network.to_bytes())
        lines = []
        for threads in options.threads:
            for batch in options.batches:
                lines.append(compare(batch, threads, options.rounds, path, options.isa))
                print(json.dumps(lines[-1]["images_per_s"]), lines[-1]["ratio_to_best_int8"], flush=True)
        scales = scaling(options.batches, options.rounds, path, options.isa)
    print_comparison(lines)
    print("\nfrom 1 to 2 threads: " + ", ".join(f"batch {batch} {scale:.2f}x" for batch, scale in scales.items()))
    table = layers.profile(network, options.isa)
    layers.show(table)
    result = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "isa": options.isa,
        "network": str(options.network or "random"),
        "comparison": lines,
        "scaling_1_to_2_threads": scales,
        "layers": table,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nwritten to {options.output}")


if __name__ == "__main__":
    main()
