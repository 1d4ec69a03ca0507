"""Hostile senders of every kind beside good clients whose every request is accounted for: `make storm`.

Nothing may be lost, wrong or refused of what the good clients ask, and the server is the same one in the end, and ends.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from chaos.checked_load import RIGHT, WRONG, CheckedLoad, expected_logits
from chaos.hostile import Hostile
from fuzz.corpus import encode, picture
from resnet50_triton.decode import decode_image
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server

from benchmarks.common.machine import ROOT, SAMPLE

SOON_S = 15.0  # a server that takes longer to end is waiting; after misused shared memory Triton does: docs/security.md


def main() -> int:
    """Run; 1 where a good client's request was lost, wrong or refused, or the server suffered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=Path, default=SAMPLE)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "storm.json")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("STORM_S", "600")))
    parser.add_argument("--seed", type=int, default=1, help="of what the senders choose")
    options = parser.parse_args()
    result = storm(options.sample, options.seconds, options.seed)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))
    print(
        "FAILED: " + "; ".join(result["faults"]) if result["faults"] else "nothing lost, nothing wrong, nothing refused"
    )
    return int(bool(result["faults"]))


def storm(sample: Path, seconds: float, seed: int) -> dict[str, Any]:
    """Run so long; returns all figures, with what must not have been under `faults`."""
    encoded = [path.read_bytes() for path in sorted((sample / "images").glob("*.JPEG"))[:8]]
    pngs = [encode(picture().resize((300 + 20 * i, 200)), "PNG") for i in range(8)]
    pixels = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
    right = [
        expected_logits(sample, images)
        for images in (pixels, *(np.stack([decode_image(data) for data in files]) for files in (encoded, pngs)))
    ]
    with tempfile.TemporaryDirectory(prefix="resnet50-storm-") as scratch:
        repository = Deployment.of_sample(sample).make_repository(Path(scratch) / "models")
        log = Path(scratch) / "tritonserver.log"
        with Server(repository, log=log) as server:
            server.wait_ready()
            process = psutil.Process(server.process.pid)
            loads = {
                "pixels": CheckedLoad(server.grpc_url, pixels, right[0], clients=3),
                "JPEGs": CheckedLoad(server.grpc_url, encoded, right[1], clients=3, model="classify"),
                "PNGs": CheckedLoad(server.grpc_url, pngs, right[2], clients=1, model="classify"),
            }
            with contextlib.ExitStack() as stack:
                for load in loads.values():
                    stack.enter_context(load)
                hostile = stack.enter_context(Hostile(server, encoded[0], seed))
                begin_s, memory = time.monotonic(), [_memory_mb(process)]
                while time.monotonic() - begin_s < seconds and server.process.poll() is None:
                    time.sleep(min(10.0, seconds / 4))
                    memory.append(_memory_mb(process))
                    counts = {name: dict(load.count()) for name, load in loads.items()}
                    print(f"{time.monotonic() - begin_s:6.0f} s: {counts}", flush=True)
            is_alive = server.process.poll() is None and server.is_ready()
            begin_s = time.monotonic()
            code = server.stop()
            stop_s = time.monotonic() - begin_s
        if stop_s > SOON_S:
            print("the server's last words:", *log.read_text(errors="replace").splitlines()[-12:], sep="\n  ")
    result: dict[str, Any] = {
        "seconds": seconds,
        "seed": seed,
        "good": {name: _account(load) for name, load in loads.items()},
        "hostile": {kind: dict(counts) for kind, counts in hostile.counts.items()},
        "server": {"is_alive": is_alive, "exit_code": code, "stop_s": round(stop_s, 1), "memory_mb": memory},
    }
    return {**result, "faults": _faults(result)}


def table(result: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = ["| good clients | sent | right | wrong | lost | refused | p50 | p99 | longest |", "|" + "---|" * 9]
    for name, g in result["good"].items():
        times = " | ".join(f"{1000 * g[part]:.0f} ms" for part in ("p50_s", "p99_s", "longest_s"))
        lines.append(f"| {name} | {g['sent']} | {g['right']} | {g['wrong']} | {g['lost']} | {g['refused']} | {times} |")
    lines += ["", "| hostile senders | what came of it |", "|---|---|"]
    for kind, counts in result["hostile"].items():
        lines.append(f"| {kind} | {', '.join(f'{count} {what}' for what, count in sorted(counts.items()))} |")
    memory = result["server"]["memory_mb"]
    lines += [
        "",
        f"server: ended in {result['server']['stop_s']} s; memory {memory[0]} MB before, {memory[-1]} MB after",
    ]
    return "\n".join(lines)


def _account(load: CheckedLoad) -> dict[str, Any]:
    counts = load.count()
    latencies_s = [o.answered_s - o.sent_s for o in load.outcomes if o.what == RIGHT] or [float("nan")]
    refused = [o for o in load.outcomes if o.what not in (RIGHT, WRONG, "lost")]
    return {
        "sent": load.sent,
        "right": counts[RIGHT],
        "wrong": counts[WRONG],
        "lost": counts["lost"] + load.sent - len(load.outcomes),
        "refused": len(refused),
        "refusals": [dataclasses.asdict(o) for o in refused[:20]],
        "p50_s": round(float(np.percentile(latencies_s, 50)), 4),
        "p99_s": round(float(np.percentile(latencies_s, 99)), 4),
        "longest_s": round(max(latencies_s), 4),
    }


def _faults(result: dict[str, Any]) -> list[str]:
    faults = [
        f"{name}: {g[what]} {what}"
        for name, g in result["good"].items()
        for what in ("wrong", "lost", "refused")
        if g[what]
    ]
    faults += [f"{name}: none was answered" for name, g in result["good"].items() if not g["right"]]
    faults += [
        f"{kind}: {count} {what}"
        for kind, counts in result["hostile"].items()
        for what, count in counts.items()
        if what.startswith("BAD")
    ]
    if not result["server"]["is_alive"]:
        faults.append(f"the server ended with code {result['server']['exit_code']}")
    return faults


def _memory_mb(process: psutil.Process) -> int:
    """Of the server, its models and their helpers, without what they share."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            info = each.memory_info()
            total += info.rss - info.shared
    return round(total / 1e6)


if __name__ == "__main__":
    raise SystemExit(main())
