"""This project against the stock way to serve a ResNet-50 on a CPU, in one run on this machine: `make bench-baselines`.

Ours: `resnet50` on the software card, as `resnet50-pynq serve` serves it. The baselines: Triton's Python backend with
OpenVINO or onnxruntime in model.py (benchmarks/baselines/model), INT8, pixels as uint8 NHWC into the graph, dynamic
batching, tuned at every load: one instance with all cores, or one a core with a thread each, and several largest
batches; the fastest of each engine is compared. The load is perf_analyzer with the tensor PIXELS, the same for all;
in interleaved rounds, and figures are medians of the rounds.

It is not the same network: ours has the card's binary weights and 2-bit activations (W1A2), theirs the same topology
in INT8 with random weights. It is what an operator without the card would run instead, and says nothing of accuracy.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server

from benchmarks.common.machine import CORES, SAMPLE, Neighbours, made, write_result
from benchmarks.common.perf_analyzer import Point, analyze
from benchmarks.common.program import run
from benchmarks.common.repository import with_kernel_alone
from benchmarks.common.rounds import interleave
from benchmarks.engine.contenders import MODELS, VENV, prepare

HERE = Path(__file__).resolve().parent
OURS = "resnet50"
NOTE = (
    "Not the same network: W1A2 (ours) against INT8 of the same topology with random weights (the baselines), "
    "which is what one would serve on this CPU otherwise."
)


@dataclass(frozen=True)
class Variant:
    """One way to serve a baseline."""

    engine: str
    instances: int
    max_batch: int

    @property
    def name(self) -> str:
        return f"{self.engine}_{self.instances}x{CORES // self.instances}_b{self.max_batch}"


@dataclass(frozen=True)
class Load:
    """What perf_analyzer keeps in flight."""

    batch: int
    concurrency: int
    shared: bool = False

    def __str__(self) -> str:
        return f"{self.concurrency} x {self.batch} over {'shared memory' if self.shared else 'gRPC'}"


ENGINES = ("openvino", "onnxruntime")
VARIANTS = [Variant(e, n, b) for e in ENGINES for n in sorted({1, CORES}) for b in (8, 32)]
LOADS = (Load(1, 1), Load(1, 8), Load(1, 32), Load(32, 3, shared=True))


def candidates(load: Load, engine: str) -> list[Variant]:
    """The variants of an engine that can take a load, without those that differ in nothing under it."""
    fit = [v for v in VARIANTS if v.engine == engine and v.max_batch >= load.batch]
    smallest = min(v.max_batch for v in fit)
    return [v for v in fit if v.max_batch == smallest or load.batch * load.concurrency > smallest]


def baseline_repository(directory: Path) -> Path:
    """A model repository with every variant."""
    for v in VARIANTS:
        folder = directory / v.name
        shutil.copytree(HERE / "model", folder, ignore=shutil.ignore_patterns("__pycache__"))
        parameters = {
            "engine": v.engine,
            "folder": str(MODELS),
            "threads": str(CORES // v.instances),
            "EXECUTION_ENV_PATH": str(VENV),
        }
        with (folder / "config.pbtxt").open("a") as config:
            print(f'name: "{v.name}"\nmax_batch_size: {v.max_batch}', file=config)
            print(f"instance_group {{ count: {v.instances} kind: KIND_CPU }}", file=config)
            for key, value in parameters.items():
                print(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}', file=config)
    return directory


def median_point(rounds: list[Point]) -> Point:
    """The median of each figure by itself."""
    columns = zip(*(asdict(point).values() for point in rounds), strict=True)
    return Point(*(statistics.median(column) for column in columns))


def compare(load: Load, rounds: dict[str, list[Point]]) -> dict[str, Any]:
    """One line of the table.

    Args:
        load: what all were under.
        rounds: by contender, as many of each, side by side; ours is named OURS.
    """
    medians = {name: median_point(points) for name, points in rounds.items()}
    ours, baselines = medians[OURS], [name for name in rounds if name != OURS]
    best = max(baselines, key=lambda name: medians[name].images_per_s)
    pairs = zip(rounds[OURS], rounds[best], strict=True)
    return {
        **asdict(load),
        "contenders": {
            name: {**asdict(medians[name]), "rounds": [asdict(point) for point in points]}
            for name, points in rounds.items()
        },
        "best_baseline": best,
        "ratio": statistics.median(a.images_per_s / b.images_per_s for a, b in pairs),
        # Of every baseline's, not only of the one with the most images a second.
        "p99_at_most": ours.p99_s <= min(medians[name].p99_s for name in baselines),
    }


def is_ahead(line: dict[str, Any]) -> bool:
    """More images a second than every baseline, at no longer p99 than any."""
    return bool(line["ratio"] > 1 and line["p99_at_most"])


def show(lines: list[dict[str, Any]]) -> None:
    print(f"\n{'load':30} {'contender':22} {'images/s':>9} {'p50 ms':>8} {'p99 ms':>8}  ours by the best baseline")
    for line in lines:
        load = str(Load(line["batch"], line["concurrency"], line["shared"]))
        for name, point in line["contenders"].items():
            verdict = ""
            if name == OURS:
                latency = "p99 at most theirs" if line["p99_at_most"] else "p99 longer than a baseline's"
                verdict = f"  {line['ratio']:.2f}, {latency}{'' if is_ahead(line) else ': NOT ahead'}"
            figures = f"{point['images_per_s']:9.1f} {1e3 * point['p50_s']:8.1f} {1e3 * point['p99_s']:8.1f}"
            print(f"{load:30} {name:22} {figures}{verdict}")
            load = ""
    print(f"\n{NOTE}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="make bench-baselines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="of all contenders at each load (default: 3)")
    parser.add_argument(
        "--seconds", type=float, default=3, help="of each round, and of each try in tuning (default: 3)"
    )
    args = parser.parse_args(arguments)
    result: dict[str, Any] = {"made": made("make bench-baselines"), "note": NOTE, "tuning": [], "points": []}
    prepare()
    neighbours = Neighbours()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="resnet50-baselines-")))
        print(f"starting two servers, one with {len(VARIANTS)} ways to serve the baselines ...", flush=True)
        baselines = stack.enter_context(Server(baseline_repository(scratch / "baselines")))
        repository = with_kernel_alone(Deployment.of_sample(SAMPLE).make_repository(scratch / "ours"))
        ours = stack.enter_context(Server(repository))
        baselines.wait_ready(300)
        ours.wait_ready()

        def one(server: Server, model: str, load: Load, seconds: float) -> Point:
            return analyze(server.grpc_url, model, seconds=seconds, **asdict(load))

        for load in LOADS:
            measures: dict[str, Callable[[], Point]] = {
                OURS: lambda load=load: one(ours, OURS, load, args.seconds)  # type: ignore[misc]
            }
            for engine in ENGINES:
                tried = {v.name: one(baselines, v.name, load, args.seconds) for v in candidates(load, engine)}
                best = max(tried, key=lambda name: tried[name].images_per_s)
                result["tuning"].append({**asdict(load), **{n: asdict(point) for n, point in tried.items()}})
                print(f"  {load}: best of {len(tried)} is {best}", flush=True)
                measures[best] = lambda load=load, best=best: one(baselines, best, load, args.seconds)  # type: ignore[misc]

            def tell(number: int, name: str, point: Point, load: Load = load) -> None:
                print(f"  {load}, round {number}, {name}: {point.images_per_s:.1f} images/s", flush=True)

            result["points"].append(compare(load, interleave(measures, args.rounds, tell)))
    for line in result["points"]:
        line["is_ahead"] = is_ahead(line)
    show(result["points"])
    neighbours.note(result["made"])
    write_result("baselines", result)


if __name__ == "__main__":
    run(main)
