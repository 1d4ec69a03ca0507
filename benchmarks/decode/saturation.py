"""`classify` with JPEGs at saturation: how much of the decoders', and of the cores', speed the whole server keeps.

    python benchmarks/decode/saturation.py

Two servers are up, one with a card that answers at once and one with the software card, and take turns with decoding
alone (our pool, no server) and the network alone (the software card, no server). The machine's cores are shared by all
of a round, the load's client too. Reported are medians over the rounds:
  instant card   images/s over those of decoding alone; aim 0.90
  software card  images/s over cores / (processor seconds of decoding + of the network per image); aim 0.90
Beside each the same by processor time: that of the bare work over that of server and client, for each image. On a
machine that others use too it is the one to trust, as long as `idle`, the share of the cores that nobody used, is 0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import photos
import psutil
from alone import decoding_alone, instant_repository, network_alone, processor_seconds
from resnet50_triton.decode import DecodeOptions, DecodePool
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.weights import load_fc_weights

HERE = Path(__file__).resolve().parent
CORES = len(os.sched_getaffinity(0))


def loaded(server: Server, args: argparse.Namespace, transport: str, seconds: float) -> dict[str, float]:
    """One round of a server: images/s, and ms of processor time per image of each process."""
    command = [HERE / "load.py", server.grpc_url, args.photos, args.batch, args.concurrency, transport, seconds]
    client = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True)
    assert client.stdout
    client.stdout.readline()
    process = psutil.Process(server.process.pid)
    before, idle = processor_seconds(process), psutil.cpu_times().idle
    answer = json.loads(client.stdout.readline())
    after, idle = processor_seconds(process), psutil.cpu_times().idle - idle
    if client.wait():
        raise SystemExit("the load's client failed; its error is above")
    each = {name: 1000 * (after[name] - before[name]) / answer["images"] for name in after}
    return {
        "images_per_s": answer["images"] / answer["seconds"],
        **{f"{name} ms": value for name, value in each.items()},
        "client ms": 1000 * answer["cpu_seconds"] / answer["images"],
        "idle": idle / (CORES * answer["seconds"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    photos.add_argument(parser)
    parser.add_argument("--sample", type=Path, default=photos.ROOT / "build" / "sample", metavar="FOLDER")
    parser.add_argument("--batch", type=int, default=8, help="images a request (default: 8)")
    parser.add_argument("--concurrency", type=int, default=32, help="requests in flight (default: 32)")
    parser.add_argument("--seconds", type=float, default=4, help="of each round (default: 4)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=photos.ROOT / "build" / "bench-saturation.json")
    args = parser.parse_args()
    files = photos.read(args.photos)
    pool = DecodePool(CORES, DecodeOptions())
    pixels = pool.submit(files).result(600)
    deployment = Deployment.of_sample(args.sample)
    series: dict[str, list[dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        instant = stack.enter_context(Server(instant_repository(deployment, scratch / "instant")))
        software = stack.enter_context(Server(deployment.make_repository(scratch / "software")))
        kernel = Kernel(deployment.xclbin, load_fc_weights(deployment.fcweights), deployment.card)
        stack.callback(kernel.close)
        instant.wait_ready()
        software.wait_ready()
        for _ in range(args.rounds):
            for name, measure in {
                "decoding alone": lambda: decoding_alone(pool, files, args.seconds),
                "instant card, shm": lambda: loaded(instant, args, "shm", args.seconds),
                "instant card, grpc": lambda: loaded(instant, args, "grpc", args.seconds),
                "network alone": lambda: network_alone(kernel, pixels[:32], args.seconds),
                # Longer: its batches take a second each, and a round's end cuts one in two.
                "software card, grpc": lambda: loaded(software, args, "grpc", 4 * args.seconds),
            }.items():
                series.setdefault(name, []).append(measure())
                print(name, {key: round(value, 3) for key, value in series[name][-1].items()}, flush=True)
    report(series, args.output)


def report(series: dict[str, list[dict[str, float]]], output: Path) -> None:
    """Print the medians and the two ratios, and keep everything as JSON."""
    ideal = [
        1000 * CORES / (decoding["decoding ms"] + network["network ms"])
        for decoding, network in zip(series["decoding alone"], series["network alone"], strict=True)
    ]
    ratios = {
        name: statistics.median(
            one["images_per_s"] / base
            for one, base in zip(
                series[name],
                ideal if name.startswith("software") else [t["images_per_s"] for t in series["decoding alone"]],
                strict=True,
            )
        )
        for name in series
        if "card" in name
    }
    works = {
        name: [
            (decoding["decoding ms"] + (network["network ms"] if name.startswith("software") else 0))
            / sum(value for key, value in one.items() if key.endswith(" ms"))
            for decoding, network, one in zip(
                series["decoding alone"], series["network alone"], series[name], strict=True
            )
        ]
        for name in ratios
    }
    by_processor = {name: statistics.median(work) for name, work in works.items()}
    print(f"\n{CORES} cores, medians of {len(ideal)} rounds")
    for name, rounds in series.items():
        medians = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        rest = ", ".join(f"{key} {value:.3f}" for key, value in medians.items() if key != "images_per_s")
        ratio = f"  ratio {ratios[name]:.2f}, by processor time {by_processor[name]:.2f}" if name in ratios else ""
        print(f"{name:20} {medians['images_per_s']:7.1f} images/s{ratio}  ({rest})")
    output.parent.mkdir(exist_ok=True)
    output.write_text(
        json.dumps({"cores": CORES, "ratios": ratios, "by_processor_time": by_processor, "rounds": series}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    main()
