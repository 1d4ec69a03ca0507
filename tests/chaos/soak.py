"""Mixed load with faults and reloads for a long time: nothing may grow. `make soak`, SOAK_S=1800 for half an hour.

Watched: the resident memory, open files and threads of the model's process and of the server, the buffers' regions in
/dev/shm, the entries in the cards' lock folder. The figures of the first third are compared with those of the last.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tritonclient.grpc as grpc
from chaos.checked_load import RIGHT, WRONG, CheckedLoad, expected_logits
from resnet50_triton.cards.faulty import ENVIRONMENT, inject
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server

from benchmarks.common.machine import ROOT, SAMPLE, made

FAULTS: tuple[tuple[dict[str, Any], ...], ...] = (
    (),
    ({"fault": "hang"},),
    ({"fault": "slow", "seconds": 0.3, "count": 3},),
    ({"fault": "sync_to_device"},),
    ({"fault": "sync_from_device"}, {"fault": "program"}),
    ({"fault": "vanish", "seconds": 0.5},),
    ({"fault": "wrong"},),
    ({"fault": "hang"}, {"fault": "allocate"}),
)
# What may be more at the end than at the beginning: the allocators settle, and a client may be in the middle of a call.
LIMITS = {"stub_mb": 15.0, "server_mb": 30.0, "stub_files": 3, "server_files": 6, "stub_threads": 2, "shm_mb": 20.0}


def main() -> int:
    """Run; 1 where something grew, or a request was lost or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=Path, default=SAMPLE)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "soak.json")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("SOAK_S", "120")))
    parser.add_argument("--reload-s", type=float, default=300.0, help="time between reloads of the model; 0: never")
    parser.add_argument("--standby", default="", help="the card that takes over while no other works, as software:0")
    options = parser.parse_args()
    origin = made(f"SOAK_S={options.seconds:.0f} make soak")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
    expected = expected_logits(options.sample, pixels)
    with tempfile.TemporaryDirectory(prefix="resnet50-soak-") as scratch:
        faults = Path(scratch) / "faults.json"
        os.environ[ENVIRONMENT] = str(faults)
        inject(faults)
        repository = Deployment(
            options.sample / "card.xclbin",
            options.sample / "fcweights.csv",
            parameters={
                "resnet50": {
                    "card": "faulty:0",
                    "kernel_timeout_s": "2",
                    "cross_check_percent": "100",
                    "recovery_attempts": "10",
                    "standby": options.standby,
                },
            },
        ).make_repository(Path(scratch) / "models")
        with Server(repository, options=["--model-control-mode=explicit", "--load-model=resnet50"]) as server:
            server.wait_ready()
            with CheckedLoad(server.grpc_url, pixels, expected) as load:
                samples, reloads = _run(server, repository, load, faults, options.seconds, options.reload_s)
            count = load.count()
            result = {
                "made": origin,
                "seconds": options.seconds,
                "sent": load.sent,
                "outcomes": dict(count),
                "refusals": dict(Counter(o.message for o in load.outcomes if o.what not in (RIGHT, WRONG))),
                "reloads": reloads,
                "growth": _growth(samples),
                "limits": LIMITS,
                "samples": samples,
            }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1))
    print(json.dumps({name: value for name, value in result.items() if name != "samples"}, indent=1))
    unanswered = result["sent"] - sum(count.values())
    refused = set() if options.standby else {"UNAVAILABLE"}  # with one, no client sees the fault of a card
    bad = unanswered or count[WRONG] or set(count) - {RIGHT} - refused
    bad = bad or any(result["growth"][name] > limit for name, limit in LIMITS.items())
    print("FAILED" if bad else "nothing grew, nothing was lost, nothing was wrong")
    return int(bool(bad))


def _run(
    server: Server, repository: Path, load: CheckedLoad, faults: Path, seconds: float, reload_s: float
) -> tuple[list[dict[str, float]], int]:
    samples: list[dict[str, float]] = []
    reloads = 0
    end_s = time.monotonic() + seconds
    next_reload_s = time.monotonic() + reload_s
    order = random.Random(1)
    _recover_once(faults)
    for step in itertools.count():
        if time.monotonic() >= end_s:
            return samples, reloads
        inject(faults, *order.choice(FAULTS))
        time.sleep(4.0)
        inject(faults)
        time.sleep(2.0)
        if reload_s and time.monotonic() >= next_reload_s:
            (repository / "resnet50" / "1" / "model.py").touch()  # or Triton sees nothing new to load
            with grpc.InferenceServerClient(server.grpc_url) as client:
                client.load_model("resnet50")
            reloads += 1
            next_reload_s = time.monotonic() + reload_s
            _recover_once(faults)
        samples.append(_look(server))
        if step % 10 == 0:
            refused = [o.message for o in load.outcomes if o.what not in (RIGHT, WRONG)][-1:]
            print(f"{end_s - time.monotonic():6.0f} s left: {dict(load.count())} {samples[-1]} {refused}", flush=True)
    raise AssertionError


def _recover_once(faults: Path) -> None:
    """Let the card be programmed again before its process is looked at: the first time costs memory that is kept."""
    inject(faults, {"fault": "sync_from_device"})
    time.sleep(4.0)
    inject(faults)
    time.sleep(2.0)


def _look(server: Server) -> dict[str, float]:
    parent = psutil.Process(server.process.pid)
    stubs = [child for child in parent.children() if _is_stub(child)]
    stub = stubs[-1]  # after a reload, the new one
    region = Path("/dev/shm").glob(f"{server.scratch.shm_prefix}*")
    return {
        "stubs": len(stubs),
        "stub_pid": stub.pid,
        "stub_mb": (stub.memory_info().rss - stub.memory_info().shared) / 1e6,
        "stub_files": stub.num_fds(),
        "stub_threads": stub.num_threads(),
        "server_mb": (parent.memory_info().rss - parent.memory_info().shared) / 1e6,
        "server_files": parent.num_fds(),
        "server_threads": parent.num_threads(),
        "shm_mb": sum(path.stat().st_blocks * 512 for path in region) / 1e6,
    }


def _is_stub(process: psutil.Process) -> bool:
    try:
        return any("resnet50_0_0" in word for word in process.cmdline())
    except psutil.NoSuchProcess:  # or a zombie: one that has just ended
        return False


def _growth(samples: list[dict[str, float]]) -> dict[str, float]:
    """How much more in the last third than in the first; of the model's process in any of its lives.

    A new process inherits the sockets that the server has open at that moment, so two lives do not compare.
    """
    lives = itertools.groupby(samples, key=lambda sample: sample["stub_pid"])
    growths = [_growth_of(list(life)) for _, life in lives]
    whole = _growth_of(samples)
    return {n: max(g[n] for g in growths) if n.startswith("stub_") else whole[n] for n in LIMITS}


def _growth_of(samples: list[dict[str, float]]) -> dict[str, float]:
    third = max(1, len(samples) // 3)
    return {
        name: statistics.median(s[name] for s in samples[-third:]) - statistics.median(s[name] for s in samples[:third])
        for name in LIMITS
    }


if __name__ == "__main__":
    raise SystemExit(main())
