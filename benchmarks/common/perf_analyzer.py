"""NVIDIA's perf_analyzer, run once for one point of a measurement."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.machine import ROOT

PROGRAM = ROOT / "build" / "perf_analyzer" / "perf_analyzer"
WINDOWS = 3
LONGEST_S = 60.0
# What it says where windows saw too few answers; the last of a step of an ensemble.
TOO_FEW = (
    "No valid requests recorded",
    "Failed to obtain stable measurement",
    "failed to find the requested model version",
)
LOGITS_BYTES = 4 * 1000  # the largest output of an image, for those that are answered through shared memory
_INTERRUPTED_S = 15.0  # how long an interrupted one may take to end; killed, it would leave its shared memory


@dataclass(frozen=True)
class Point:
    """What a load reached, and what it cost the client."""

    images_per_s: float
    p50_s: float
    p99_s: float
    client_cpu_s: float  # of the whole run, with its warm-up
    mean_s: float = 0.0


def analyze(
    url: str,
    model: str,
    *,
    protocol: str = "grpc",
    batch: int = 1,
    concurrency: int = 1,
    rate: float | None = None,
    shared: bool = False,
    data: Path | None = None,
    seconds: float = 3.0,
) -> Point:
    """Keep so many requests in flight for so long, or let them come at a rate.

    Args:
        url: of the server, for the protocol.
        model: its name.
        protocol: "grpc" or "http".
        batch: images a request.
        concurrency: requests in flight, where no rate is given.
        rate: requests a second, as a Poisson process.
        shared: inputs and outputs in system shared memory.
        data: input data in perf_analyzer's JSON; random numbers where not given.
        seconds: of measurement; a warm-up of under a second comes before. Longer where answers take longer than that.

    Raises:
        SystemExit: perf_analyzer is not there, or failed; with its message.
    """
    if not PROGRAM.is_file():
        raise SystemExit("no perf_analyzer: run 'make perf-analyzer'")
    command = [PROGRAM, "-m", model, "-i", protocol, "-u", url, "-b", batch]
    if rate is None:
        command += ["--concurrency-range", concurrency, *(["--async"] if concurrency > 1 else ["--sync"])]
    else:
        command += ["--request-rate-range", rate, "--request-distribution", "poisson", "--async"]
    if shared:
        command += ["--shared-memory", "system", "--output-shared-memory-size", LOGITS_BYTES]
    if data:
        command += ["--input-data", data]
    while (point := _run([str(word) for word in command], seconds)) is None:
        seconds *= 2
    return point


def _run(command: list[str], seconds: float) -> Point | None:
    """Run it once; None where a window saw no answer or, of which it makes no figures, a single one."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "point.csv"
        # Windows of equal length, all of them measured: no deviation is too large.
        windows = ["-p", str(round(1000 * seconds / WINDOWS)), "-r", str(WINDOWS), "-s", "999"]
        before_s = children_cpu_s()
        run = subprocess.Popen(
            [*command, *windows, "-f", str(table), "--verbose-csv"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = run.communicate()
        except BaseException:
            run.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                run.wait(_INTERRUPTED_S)
            run.kill()
            raise
        if run.returncode and any(words in output for words in TOO_FEW) and seconds < LONGEST_S:
            return None
        if run.returncode or not table.is_file():
            raise SystemExit(f"perf_analyzer failed: {output[-1000:]}")
        row = next(csv.DictReader(table.open()))
        return Point(
            images_per_s=float(row["Inferences/Second"]),
            p50_s=float(row["p50 latency"]) / 1e6,
            p99_s=float(row["p99 latency"]) / 1e6,
            client_cpu_s=children_cpu_s() - before_s,
            mean_s=float(row["Avg latency"]) / 1e6,
        )


def children_cpu_s() -> float:
    """Processor time of the processes that we started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system
