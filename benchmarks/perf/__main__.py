"""Load on the whole server, by NVIDIA's perf_analyzer: `make bench`, under 8 minutes (BENCH_S=1800 for longer).

Two servers with nothing set, one on the software card and one on the timing card, and one on the timing card for each
preset. Pixels and JPEGs, over gRPC, HTTP and system shared memory, at several batches and concurrencies. All cases are
measured in interleaved rounds, so that whatever else the machine does hits all alike; each case's spread over the
rounds is its noise. At the end each stage of the way is measured alone: its ceiling, and which one is the bottleneck.

The timing card takes an Alveo U250's published time and computes nothing: its figures are those of everything around a
card. The software card computes on the CPU that the server and perf_analyzer share with it.

Writes build/bench/load.json, and build/bench/load.md as docs/performance.md has it; Ctrl-C ends it and keeps what was
measured.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from resnet50_triton.cards.timing import run_times
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.server.repository import describe

from benchmarks.common.machine import SAMPLE, Neighbours, made, sample_images, write_result
from benchmarks.common.perf_analyzer import PROGRAM, Point, analyze
from benchmarks.common.perf_data import write_images
from benchmarks.perf.cases import HTTP, JPEG, MODELS, SETUPS, SHARED, Case, Setup, all_cases
from benchmarks.perf.ceilings import measure_ceilings, ways
from benchmarks.perf.checks import judge
from benchmarks.perf.observe import Observer, add_batches
from benchmarks.perf.sections import render

NAME = "load"
START_S = 25.0  # what starting the servers takes, about
CEILINGS_S, CEILING_ROUNDS = 1.0, 3  # of each stage alone
CEILINGS_TAKE_S = 45.0  # all of them, about
AROUND_S = 1.3  # what a measurement takes beyond its windows, about: perf_analyzer's start and its way to a stable load
LEAST_S, MOST_S = 0.9, 10.0  # of windows
LONGER = 3  # a target is measured for so much longer
INTERRUPTED = 130


@dataclass
class Row:
    """A case and what its rounds gave."""

    case: Case
    points: list[Point] = field(default_factory=list)
    stages_ms: list[dict[str, float]] = field(default_factory=list)
    mean_batch: list[float] = field(default_factory=list)
    batches: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        stages = {
            stage: round(statistics.median(each[stage] for each in self.stages_ms), 3) for stage in self.stages_ms[0]
        }
        return {
            **asdict(self.case),
            "images_per_s": [round(point.images_per_s, 1) for point in self.points],
            "p50_ms": [round(1e3 * point.p50_s, 3) for point in self.points],
            "p99_ms": [round(1e3 * point.p99_s, 3) for point in self.points],
            "stages_ms": stages,
            "mean_batch": round(statistics.median(self.mean_batch), 2),
            "batches": self.batches,
        }


class Bench:
    """The servers, up until the stack is closed.

    Args:
        setups: those that are needed.
        stack: ends them.
    """

    def __init__(self, setups: Sequence[Setup], stack: ExitStack) -> None:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="resnet50-bench-")))
        self.described: dict[str, str] = {}
        self._servers: dict[str, Server] = {}
        for number, setup in enumerate(setups):
            repository = _deployment(setup).make_repository(scratch / str(number))
            self.described[setup.name] = describe(repository)
            self._servers[setup.name] = stack.enter_context(Server(repository))
        for name, server in self._servers.items():
            server.wait_ready()
            print(f"  {name}: {self.described[name]}", flush=True)
        self._jpegs = write_images(scratch / "jpegs.json", [path.read_bytes() for path in sample_images()])
        self._observers = {name: Observer(server.metrics_url) for name, server in self._servers.items()}
        self._last: dict[str, tuple[Row, float]] = {}  # by server: what it did since it was observed

    def measure(self, row: Row, seconds: float) -> Point:
        """One round of a case."""
        case = row.case
        server = self._servers[case.server]
        self.observe(case.server)
        over_http = case.transport == HTTP
        point = analyze(
            server.http_url if over_http else server.grpc_url,
            MODELS[case.input],
            protocol="http" if over_http else "grpc",
            batch=case.batch,
            concurrency=case.concurrency,
            shared=case.transport == SHARED,
            data=self._jpegs if case.input == JPEG else None,
            seconds=seconds,
        )
        self._observers[case.server].rest()
        row.points.append(point)
        self._last[case.server] = row, point.mean_s
        return point

    def observe(self, name: str) -> None:
        """Note what a server did in its last measurement: late, because it tells with a delay."""
        counted = self._observers[name].poll()
        row, mean_s = self._last.pop(name, (None, 0.0))
        if row is not None:
            row.stages_ms.append(counted.stages_ms(mean_s, row.case.input == JPEG))
            row.mean_batch.append(counted.mean_batch())
            row.batches = add_batches(row.batches, counted.batches())

    def observe_all(self) -> None:
        """Note what is not noted yet."""
        for name in list(self._last):
            self.observe(name)


def _deployment(setup: Setup) -> Deployment:
    return replace(Deployment.of_sample(SAMPLE, setup.card), preset=setup.preset or None)


def run(rows: Sequence[Row], rounds: int, seconds: float, budget_s: float, setups: dict[str, str]) -> None:
    """Measure all cases in interleaved rounds, as many as there is time for, saying how far it is.

    Args:
        rows: where the figures go; what was measured until a KeyboardInterrupt is there, too.
        rounds: at least two, and more only within the budget.
        seconds: of each measurement.
        budget_s: how long it may take.
        setups: where it is told what each server is set to.
    """
    needed = {row.case.server for row in rows}
    with ExitStack() as stack:
        print(f"starting {len(needed)} servers ...", flush=True)
        bench = Bench([setup for setup in SETUPS if setup.name in needed], stack)
        setups.update(bench.described)
        stack.callback(bench.observe_all)
        total, done, begin_s = rounds * len(rows), 0, time.monotonic()
        for number in range(rounds):
            if number > 1 and (time.monotonic() - begin_s) * (number + 1) / number > budget_s:
                print(f"no time for round {number + 1}: the machine is slow, or busy otherwise")
                break
            for row in rows:
                point = bench.measure(row, seconds * (LONGER if row.case.has_target else 1))
                done += 1
                left_s = (time.monotonic() - begin_s) / done * (total - done)
                print(
                    f"[{done:{len(str(total))}}/{total}, {left_s / 60:.1f} min left] round {number + 1}, "
                    f"{row.case.name}: {point.images_per_s:.0f} images/s, p50 {1e3 * point.p50_s:.2f} ms",
                    flush=True,
                )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, print the checks."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget-s", type=float, default=460, help="how long all of it may take (default: 460)")
    parser.add_argument("--rounds", type=int, default=3, help="of all cases (default: 3)")
    parser.add_argument("--seconds", type=float, help="of each measurement (default: from --budget-s)")
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose name matches; --list shows them")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and end")
    parser.add_argument("--no-ceilings", action="store_true", help="do not measure each stage alone")
    parser.add_argument("--name", default=NAME, help="of the files in build/bench (default: load)")
    args = parser.parse_args(arguments)
    rows = [Row(case) for case in all_cases() if re.search(args.only, case.name)]
    if args.list or not rows:
        print("\n".join(row.case.name for row in rows) or f"no case matches '{args.only}'")
        return 0 if rows else 2
    budget_s = args.budget_s - (0 if args.no_ceilings else CEILINGS_TAKE_S)
    each_s = (budget_s - START_S) / (args.rounds * len(rows)) - AROUND_S
    seconds = args.seconds or min(MOST_S, max(LEAST_S, each_s))
    result: dict[str, Any] = {
        "made": made("make bench", perf_analyzer=_version()),
        "rounds": 0,
        "setups": {},
        "seconds": round(seconds, 2),
        "cards": {"timing": dict(zip(("run_s", "image_s"), run_times(), strict=True))},
        "jpegs": f"{len(sample_images())} images of the sample, {_mean_kb():.0f} kB each on average",
    }
    neighbours = Neighbours()
    print(f"{len(rows)} cases, {args.rounds} rounds of {seconds:.1f} s each")
    code, ceilings = 0, {}
    try:
        run(rows, args.rounds, seconds, budget_s, result["setups"])
        if not args.no_ceilings:
            print("measuring each stage alone ...", flush=True)
            ceilings = measure_ceilings(CEILINGS_S, CEILING_ROUNDS)
    except KeyboardInterrupt:
        print("\nended early; what was measured is kept")
        code = INTERRUPTED
    except SystemExit as failure:
        print(f"{failure}\nended early; what was measured is kept")
        code = 1
    servers = [setup.name for setup in SETUPS]
    by_server = sorted(rows, key=lambda row: servers.index(row.case.server))
    result["rows"] = [row.as_json() for row in by_server if row.stages_ms]
    result["rounds"] = max(len(row.points) for row in rows)
    result["complete"] = code == 0
    neighbours.note(result["made"])
    result["made"]["machine"]["load_average_after"] = round(os.getloadavg()[0], 2)
    if not result["rows"]:
        return code
    result["checks"] = judge(result)
    result["ceilings"] = [way.as_json() for way in ways(ceilings, result["rows"])] if ceilings else []
    for check in result["checks"]:
        print(f"  {check['verdict']:11} {check['what']}: {check['figure']} (target: {check['target']})")
    for way in result["ceilings"]:
        print(
            f"  {way['server']}, {way['input']}: {way['reached']:.0f} images/s of at most {way['ceiling']:.0f}; "
            f"the bottleneck is: {way['bottleneck']}"
        )
    path = write_result(args.name, result)
    page = path.with_suffix(".md")
    page.write_text(render({"load": result}))
    print(f"written to {page}")
    return code


def _version() -> str:
    """Of the wheel that it is from: the program itself does not know."""
    if not PROGRAM.is_file():
        raise SystemExit("no perf_analyzer: run 'make perf-analyzer'")
    wheel = next((PROGRAM.parent / "wheel").glob("tritonclient-*.dist-info"))
    return f"of {wheel.stem.replace('-', ' ')}"


def _mean_kb() -> float:
    return statistics.mean(path.stat().st_size for path in sample_images()) / 1000


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    raise SystemExit(main())
