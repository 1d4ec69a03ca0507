"""Every fault through the real server under load, as tables: `make fault-report`.

A fault is injected into a card while clients keep sending. Each request is accounted for. Recovery is the time from the
injection to the first correct answer to a request that was sent after the last failure. Three set-ups are measured: one
card with `failover_wait_s` off, one card with a standby, and two cards.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from chaos.checked_load import RIGHT, WRONG, CheckedLoad, expected_logits
from resnet50_triton.cards.faulty import ENVIRONMENT, inject
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server

from benchmarks.common.machine import ROOT, SAMPLE, made
from benchmarks.perf import pages


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    title: str
    faults: tuple[dict[str, Any], ...]
    parameters: dict[str, str] = field(default_factory=dict)
    kill: bool = False  # the model's process, under a bare tritonserver
    guarded: bool = False  # the same under `resnet50-pynq serve`
    answer_s: float = 5.0  # every request of the run must be answered in this time
    wrong_allowed: bool = False
    may_refuse: bool = False  # in every set-up


# What is set for all cases; in those after the first, no fault of a card may be seen in a refused request.
SETUPS = {
    "one card, `failover_wait_s` off": {"failover_wait_s": "off"},
    "one card and a standby": {"standby": "software:0"},
    "two cards": {"card": "faulty:0,faulty:1", "threads": "1"},
}
FIRST = next(iter(SETUPS))

CASES = (
    Case("a run hangs", ({"fault": "hang"},)),
    Case("a run takes 0.5 s longer, within its deadline", ({"fault": "slow", "seconds": 0.5, "count": 2},)),
    Case("a run takes 8 s longer", ({"fault": "slow", "seconds": 8.0},)),
    Case("copying to the card fails", ({"fault": "sync_to_device"},)),
    Case("copying from the card fails", ({"fault": "sync_from_device"},)),
    Case("the card vanishes for 1 s", ({"fault": "vanish", "seconds": 1.0},)),
    Case("a hang, then programming refused twice (EBUSY)", ({"fault": "hang"}, {"fault": "program", "count": 2})),
    Case("a failed copy, then no memory for the buffers", ({"fault": "sync_from_device"}, {"fault": "allocate"})),
    Case("a hang, and another in the recovery", ({"fault": "hang", "count": 2},)),
    Case("wrong results, every batch checked in software", ({"fault": "wrong"},), {"cross_check_percent": "100"}),
    Case(
        "permanently wrong results, self-test every 0.5 s",
        ({"fault": "wrong", "count": 1000},),
        {"selftest_interval_s": "0.5", "recovery_attempts": "2"},
        wrong_allowed=True,
    ),
    Case(
        "one of two cards hangs and stays bad",
        ({"fault": "hang", "card": "faulty:1"}, {"fault": "program", "card": "faulty:1", "count": 1000}),
        {"card": "faulty:0,faulty:1", "threads": "1"},
        may_refuse=True,
    ),
    Case("kill -9 of the model's process, bare tritonserver", (), kill=True, answer_s=30.0),
    Case("kill -9 of the model's process, `resnet50-pynq serve`", (), kill=True, guarded=True, answer_s=30.0),
)


def run(case: Case, setup: str, sample: Path, pixels: Any, expected: Any, load_s: float) -> dict[str, Any]:
    """Serve, inject, and account for every request."""
    one_card = [{"card": "faulty:0", **fault} for fault in case.faults]
    with tempfile.TemporaryDirectory(prefix="resnet50-faults-") as scratch:
        faults = Path(scratch) / "faults.json"
        os.environ[ENVIRONMENT] = str(faults)
        inject(faults)
        base = {"card": "faulty:0", "kernel_timeout_s": "2", **SETUPS[setup]}
        parameters = {"resnet50": {**base, **case.parameters}}
        deployment = Deployment(sample / "card.xclbin", sample / "fcweights.csv", parameters=parameters)
        repository = deployment.make_repository(Path(scratch) / "models")
        with ExitStack() as stack:
            if case.guarded:
                pid, url = stack.enter_context(_guarded(sample))
            else:
                server = stack.enter_context(Server(repository))
                server.wait_ready()
                pid, url = server.process.pid, server.grpc_url
            with CheckedLoad(url, pixels, expected) as load:
                time.sleep(1.0)
                injected_s = time.monotonic()
                if case.kill:
                    _stub(pid).kill()
                else:
                    inject(faults, *one_card)
                time.sleep(load_s if not case.guarded else 3 * load_s)
            reruns = None if case.guarded or case.kill else _reruns(server)
            return {"setup": setup, **_account(case, load, injected_s), "rerun": reruns}


def _reruns(server: Server) -> int:
    """Requests that were run again."""
    text = urllib.request.urlopen(f"http://{server.metrics_url}/metrics").read().decode()
    return round(sum(map(float, re.findall(r"^resnet50_reruns_total{.*} (\S+)$", text, re.MULTILINE))))


@contextmanager
def _guarded(sample: Path) -> Iterator[tuple[int, str]]:
    """`resnet50-pynq serve`, up: its pid and its address."""
    command = [str(Path(sys.executable).parent / "resnet50-pynq"), "serve", "--sample", str(sample), "--free-ports"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.pid, next(line.split()[1] for line in process.stdout if line.split()[:1] == ["gRPC"])
    finally:
        process.terminate()  # SIGINT is ignored in a program that a script runs in the background
        process.communicate(timeout=60)


def _stub(pid: int) -> psutil.Process:
    for child in psutil.Process(pid).children(recursive=True):
        if any("resnet50_0_0" in word for word in child.cmdline()):
            return child
    raise LookupError("the model's stub process was not found")


def _account(case: Case, load: CheckedLoad, injected_s: float) -> dict[str, Any]:
    outcomes = [o for o in load.outcomes if o.answered_s >= injected_s]
    failures = [o for o in outcomes if o.what not in (RIGHT, WRONG)]
    bad = [o for o in outcomes if o.what != RIGHT]
    last_s = max((o.answered_s for o in bad), default=injected_s)
    back = [o.answered_s for o in outcomes if o.what == RIGHT and o.sent_s >= last_s]
    count = load.count()
    codes = {what: n for what, n in count.items() if what not in (RIGHT, WRONG)}
    return {
        "case": case.title,
        "sent": load.sent,
        "right": count[RIGHT],
        "wrong": count[WRONG],
        "codes": codes,
        "lost": load.sent - len(load.outcomes) + codes.pop("lost", 0),
        "longest_s": max(o.answered_s - o.sent_s for o in outcomes) if outcomes else None,
        "recovery_s": (min(back) - injected_s) if bad and back else None,
        "recovered": bool(back),
        "example": failures[0].message if failures else "",
    }


def _arguments() -> str:
    """As they are given to make."""
    return f' ARGS="{shlex.join(sys.argv[1:])}"' if sys.argv[1:] else ""


def main() -> int:
    """Run all cases; 1 where a request was lost, wrong, or had another code than the documented ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, default=SAMPLE)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "fault-report.json")
    parser.add_argument("--only", help="cases whose title contains this")
    parser.add_argument("--setup", default="", help="set-ups whose title contains this")
    parser.add_argument("--seconds", type=float, default=8.0, help="of load after the injection")
    options = parser.parse_args()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
    expected = expected_logits(options.sample, pixels)
    origin = made(f"make fault-report{_arguments()}")
    rows, failed = [], False
    everywhere = [case for case in CASES if not (case.kill or case.may_refuse)]
    cases = [(case, setup) for setup in SETUPS for case in (CASES if setup == FIRST else everywhere)]
    for case, setup in cases:
        if (options.only and options.only not in case.title) or options.setup not in setup:
            continue
        row = run(case, setup, options.sample, pixels, expected, options.seconds)
        rows.append(row)
        bad = (bool(row["lost"]) and (case.guarded or not case.kill)) or (row["wrong"] and not case.wrong_allowed)
        bad = bad or (not case.kill and bool(set(row["codes"]) - {"UNAVAILABLE"}))
        bad = bad or row["longest_s"] > case.answer_s or (setup != FIRST and bool(row["codes"]))
        failed = failed or bad
        print(("FAILED " if bad else "") + json.dumps(row), flush=True)
    result = {"made": origin, "rows": rows}
    print("\n".join(pages.faults(result)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1))
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
