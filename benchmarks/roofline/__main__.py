"""How fast each stage could be, what is reached, what holds it up and what to do: `make bench-roofline`.

Ceilings are measured alone, on all cores: decoding (our pool without a server), transport and queue (Triton with a card
that answers at once: gRPC, HTTP, shared memory), copying into the card's buffers (one thread), the card (one start
behind the other). What is reached is measured on the whole server in the same run, with the processor time of each
process. Everything, perf_analyzer too, shares this machine's cores. Figures are medians of turns.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from resnet50_triton.decode import DecodeOptions, DecodePool
from resnet50_triton.runtime.kernel import Kernel
from resnet50_triton.server.decode_workers import decode_workers
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from resnet50_triton.weights import load_fc_weights

from benchmarks.common.machine import CORES, RESULTS, SAMPLE, Neighbours, made, write_result
from benchmarks.common.perf_data import write_images
from benchmarks.common.program import run
from benchmarks.decode import photos
from benchmarks.decode.alone import decoding_alone, instant_repository
from benchmarks.roofline.advice import CARD, COPY, DECODE, TRANSPORT, Chain, Stage, advise, bottleneck
from benchmarks.roofline.measure import Load, Reached, alone, copying, loaded, medians, starting
from benchmarks.roofline.plot import plot

NOTE = (
    "Each stage's ceiling is what it does alone; all of them, and perf_analyzer, share these cores when the whole is "
    "measured. Transport and queue are measured with a card that answers at once."
)
CARDS = ("software:0", "timing:0")
BATCH = 100  # images a request where requests are large, and a start of the card alone
PIXELS, JPEG = "resnet50, pixels, gRPC", "classify, JPEG, gRPC"
LARGE = f"resnet50, {BATCH} pixels a request, shared memory"
ACHIEVED = {
    PIXELS: Load("resnet50"),
    LARGE: Load("resnet50", batch=BATCH, concurrency=4, shared=True),
    JPEG: Load("classify"),
}
# Of the road alone: how much the protocols carry, and how many requests of one image.
ROADS = {
    "transport, gRPC, 32 a request": Load("resnet50", batch=32, concurrency=4),
    "transport, HTTP, 32 a request": Load("resnet50", "http", batch=32, concurrency=4),
    "transport, shared memory, 32 a request": Load("resnet50", batch=32, concurrency=4, shared=True),
    "queue, 1 a request, shared memory": Load("resnet50", shared=True),
}


def chain(load: str, card: str, workers: int, values: dict[str, Reached]) -> Chain:
    """The stages of a load on a card, from everything that was measured."""
    software = card.startswith("software")
    road, kernel = values[f"instant card: {load}"], values[f"{card} alone"]
    stages = []
    road_ms = road.total_ms
    if load == JPEG:
        decode = values["decode alone"]
        share = min(workers, CORES) / CORES
        stages.append(Stage(DECODE, decode.images_per_s * share, decode.total_ms))
        road_ms -= decode.total_ms  # the instant card's road has decoding in it
        stages.append(Stage(TRANSPORT, 1000 * CORES / road_ms, road_ms))
    else:
        stages.append(Stage(TRANSPORT, road.images_per_s, road_ms))
    copy = values["copy alone"]
    stages.append(Stage(COPY, copy.images_per_s, copy.total_ms))
    stages.append(Stage(CARD, kernel.images_per_s, kernel.total_ms if software else 0.0))
    reached = values[f"{card}: {load}"]
    return Chain(
        f"{card}: {load}", CORES, software, tuple(stages), reached.images_per_s, reached.cpu_ms, reached.others, workers
    )


def show(values: dict[str, Reached], chains: list[Chain]) -> None:
    print(f"\nceilings, each alone on {CORES} cores{'images/s':>32} {'CPU ms an image':>16}")
    for name, value in values.items():
        if not any(name.startswith(f"{card}:") for card in CARDS):
            print(f"  {name:60} {value.images_per_s:10,.0f} {value.total_ms:16.3f}")
    for c in chains:
        limit = bottleneck(c)
        print(f"\n{c.name}: {c.achieved:,.0f} images/s, {c.achieved / c.roof:.0%} of its roof of {c.roof:,.0f}/s")
        for stage in c.stages:
            mark = "  <- the bottleneck" if stage.name == limit else ""
            print(f"  {stage.name:20} {stage.images_per_s:10,.0f}/s {stage.cpu_ms:8.3f} ms{mark}")
        print(f"  {'the cores, for all':20} {c.cores_roof:10,.0f}/s {c.host_ms:8.3f} ms")
        used = ", ".join(f"{name} {ms:.2f}" for name, ms in c.cpu_ms.items() if ms >= 0.005)
        print(f"  reached with the cores {c.busy:.0%} busy; ms an image: {used}")
        for sentence in advise(c):
            print(f"  * {sentence}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="make bench-roofline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    photos.add_argument(parser)
    parser.add_argument("--turns", type=int, default=3, help="of each measurement (default: 3)")
    parser.add_argument("--seconds", type=float, default=3, help="of each turn (default: 3)")
    parser.add_argument("--workers", type=int, help="decoding threads (default: as `resnet50-pynq serve` sets them)")
    args = parser.parse_args(arguments)
    how, neighbours = made("make bench-roofline"), Neighbours()
    files = photos.read(args.photos)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 224, 224, 3), np.uint8)
    parameters = {"preprocess": {"decode_workers": str(args.workers)}} if args.workers else {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="resnet50-roofline-")))
        images = write_images(scratch / "images.json", files)
        deployments = {card: replace(Deployment.of_sample(SAMPLE, card), parameters=parameters) for card in CARDS}
        print("starting three servers: the software card, the timing card and one that answers at once ...", flush=True)
        servers = {
            card: stack.enter_context(Server(deployment.make_repository(scratch / card)))
            for card, deployment in deployments.items()
        }
        road = stack.enter_context(Server(instant_repository(Deployment.of_sample(SAMPLE), scratch / "instant")))
        kernels = {
            card: stack.enter_context(Kernel(d.xclbin, load_fc_weights(d.fcweights), card, buffer_sets=2))
            for card, d in deployments.items()
        }
        pool = DecodePool(CORES, DecodeOptions())
        stack.callback(pool.close)
        for server in (*servers.values(), road):
            server.wait_ready()

        def load_of(server: Server, load: Load) -> Any:
            return partial(loaded, server, load, images, args.seconds)

        values = medians(
            {
                "decode alone": lambda: alone(decoding_alone(pool, files, args.seconds)),
                **{name: load_of(road, load) for name, load in ROADS.items()},
                **{f"instant card: {name}": load_of(road, load) for name, load in ACHIEVED.items()},
                "copy alone": lambda: copying(kernels["software:0"], pixels, args.seconds / 3),
                **{f"{card} alone": lambda card=card: starting(kernels[card], BATCH, args.seconds) for card in CARDS},
                **{
                    f"{card}: {name}": load_of(servers[card], load) for card in CARDS for name, load in ACHIEVED.items()
                },
            },
            args.turns,
        )
    workers = {card: args.workers or decode_workers(card, CORES) for card in CARDS}
    chains = [chain(load, card, workers[card], values) for load in ACHIEVED for card in CARDS]
    show(values, chains)
    picture = plot(chains, f"{how['machine']['cpu']}, {CORES} cores, {how['date'][:10]}", RESULTS / "roofline.png")
    print(f"\ndrawn in {picture}")
    neighbours.note(how)
    told = [
        {**asdict(c), "roof": c.roof, "cores_roof": c.cores_roof, "bottleneck": bottleneck(c), "advice": advise(c)}
        for c in chains
    ]
    jpegs = f"JPEGs: {len(files)} files of {sum(map(len, files)) / len(files) / 1000:.0f} kB on average."
    write_result(
        "roofline",
        {"made": how, "note": f"{NOTE} {jpegs}", "alone": {n: asdict(v) for n, v in values.items()}, "chains": told},
    )


if __name__ == "__main__":
    run(main)
