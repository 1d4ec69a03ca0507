"""MLPerf LoadGen's scenarios against the server, unofficial: `make loadgen`, `make loadgen LOADGEN_S=60` for longer.

SingleStream   one picture after the other: latency
Offline        all pictures at once: images a second
Server         pictures at random moments (Poisson): the highest rate at which 99 % are answered within 15 ms, found by
               halving, then tried again for twice as long

Pixels go to `resnet50` by NVIDIA's client, decoded beforehand, as MLPerf has it; JPEGs go to `classify` by this
project's client, and decoding counts. A server is started for each card, unless --url names one.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from resnet50_client import Client, ClientError, find_images
from resnet50_client.labels import read_labels
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server

from benchmarks.common.machine import SAMPLE, Neighbours, made, write_result
from benchmarks.common.program import run
from benchmarks.loadgen.scenarios import LoadGen, Outcome
from benchmarks.loadgen.search import confirm, highest_rate
from benchmarks.loadgen.senders import SENDERS

PROBES = 6
NOTE = (
    "Unofficial: measured with MLPerf's LoadGen, but not MLPerf results and not to be compared with any. Rules not "
    "followed: network and pictures are not the reference network and ImageNet's 50,000 but the sample's (a timing "
    "card computes nothing at all); no accuracy target is met; a test lasts {seconds:g} s, not 10 minutes, and has "
    "fewer queries; seeds are LoadGen's defaults, not a round's; LoadGen and server share one machine; there was no "
    "compliance test and no review."
)


@contextlib.contextmanager
def served(card: str, url: str | None) -> Iterator[str]:
    """A server with this card, or the one that is there."""
    if url:
        yield url
        return
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="resnet50-loadgen-")))
        server = stack.enter_context(Server(Deployment.of_sample(SAMPLE, card).make_repository(scratch / "models")))
        server.wait_ready()
        yield server.grpc_url


def cards_of(url: str) -> list[str]:
    """What the server says that it computes on, as one name."""
    try:
        with Client(url) as client:
            return [" and ".join(client.describe().cards)]
    except ClientError as error:
        raise SystemExit(f"loadgen: {error}") from None


def measure(loadgen: LoadGen, seconds: float, limit_s: float) -> dict[str, Any]:
    """All three scenarios.

    Returns:
        For each its figures; of Server also every rate that was tried.
    """
    single = loadgen.single_stream(seconds)
    rate = float(single.log["result_qps_with_loadgen_overhead"])
    result: dict[str, Any] = {
        "SingleStream": {
            "images_per_s": rate,
            **{f"p{p}_s": single.seconds(f"{p}.00") for p in (50, 90, 99)},
            **counts(single),
        }
    }
    print(f"  SingleStream  {rate:7.1f} images/s, p50 {1e3 * single.seconds('50.00'):.2f} ms", flush=True)
    # How many pictures fill the time is found by a short test.
    short = loadgen.offline(seconds / 4, rate)
    offline = loadgen.offline(seconds, float(short.log["result_samples_per_second"]))
    rate = float(offline.log["result_samples_per_second"])
    result["Offline"] = {"images_per_s": rate, **counts(offline)}
    print(f"  Offline       {rate:7.1f} images/s", flush=True)
    tries: list[dict[str, Any]] = []

    def passes(rate: float, duration_s: float = seconds) -> bool:
        outcome = loadgen.server(duration_s, rate, limit_s)
        p99_s = outcome.seconds("99.00")
        is_met = p99_s <= limit_s and not outcome.failed
        tries.append({"rate": rate, "p99_s": p99_s, "is_met": is_met, **counts(outcome)})
        print(f"    {rate:7.1f}/s: p99 {1e3 * p99_s:.1f} ms{'' if is_met else ', too long'}", flush=True)
        return is_met

    best = confirm(lambda rate: passes(rate, 2 * seconds), highest_rate(passes, rate, PROBES))
    last = tries[-1] if best else {}
    result["Server"] = {"limit_s": limit_s, "images_per_s": best, "p99_s": last.get("p99_s"), "tries": tries}
    found = f"{best:7.1f} images/s, p99 {1e3 * last['p99_s']:.1f} ms" if best else "none"
    print(f"  Server        {found} (limit {1e3 * limit_s:g} ms)", flush=True)
    return result


def counts(outcome: Outcome) -> dict[str, Any]:
    """What tells how far the figures can be trusted."""
    queries = int(outcome.log["result_query_count"])
    return {
        "queries": queries,
        "failed": outcome.failed,
        "error": outcome.error,
        "early_stopping_met": outcome.log["early_stopping_met"],  # LoadGen's own test of whether these queries suffice
    }


def accuracy(loadgen: LoadGen, folder: Path) -> dict[str, Any]:
    """Top-1 over all pictures, by LoadGen's log."""
    labels = read_labels(folder / "labels.txt")
    right = [labels.find(item.name) for item in find_images([folder]).items]
    outcome = loadgen.accuracy()
    correct = sum(right[picture] == found for picture, found in outcome.classes.items())
    print(f"  Accuracy      top-1 {correct} of {len(outcome.classes)}", flush=True)
    return {"correct": correct, "pictures": len(outcome.classes), "failed": outcome.failed, "error": outcome.error}


def show(results: list[dict[str, Any]]) -> None:
    print(f"\n{'card':12} {'input':7} {'SingleStream p50, p90, p99 ms':>30} {'Offline /s':>11} {'Server /s':>10}")
    for r in results:
        single = ", ".join(f"{1e3 * r['SingleStream'][f'p{p}_s']:.2f}" for p in (50, 90, 99))
        rates = f"{r['Offline']['images_per_s']:11.1f} {r['Server']['images_per_s']:10.1f}"
        print(f"{r['card']:12} {r['input']:7} {single:>30} {rates}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="make loadgen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3, help="of each test (default: 3); LOADGEN_S= sets it")
    parser.add_argument("--cards", default="software:0,timing:0", help="to serve, with commas (default: %(default)s)")
    parser.add_argument("--url", help="host:port, gRPC, of a server that is up, in the place of --cards")
    parser.add_argument("--inputs", default="pixels,jpeg", help="(default: %(default)s)")
    parser.add_argument(
        "--images", type=Path, default=SAMPLE / "images", metavar="FOLDER", help="default: the sample's"
    )
    parser.add_argument("--latency-ms", type=float, default=15, help="of the Server scenario (default: 15)")
    parser.add_argument(
        "--accuracy",
        action="store_true",
        help="top-1 by FOLDER/labels.txt too; not of a timing card, which computes nothing",
    )
    args = parser.parse_args(arguments)
    cards, inputs = cards_of(args.url) if args.url else args.cards.split(","), args.inputs.split(",")
    if unknown := set(inputs) - set(SENDERS):
        parser.error(f"unknown input {', '.join(sorted(unknown))}: it is {' or '.join(SENDERS)}")
    if args.accuracy and any("timing" in card for card in cards):
        parser.error("a timing card computes nothing and has no accuracy: say --cards software:0")
    note = NOTE.format(seconds=args.seconds)
    print(note, flush=True)
    neighbours = Neighbours()
    result: dict[str, Any] = {"made": made("make loadgen"), "note": note, "results": []}
    pictures = len(find_images([args.images]).items)
    for card in cards:
        with served(card, args.url) as url:
            for kind in inputs:
                print(f"{card}, {kind}", flush=True)
                sender = SENDERS[kind](url, args.images)
                try:
                    loadgen = LoadGen(sender, pictures)
                    line = {"card": card, "input": kind, **measure(loadgen, args.seconds, args.latency_ms / 1e3)}
                    if args.accuracy:
                        line["Accuracy"] = accuracy(loadgen, args.images)
                finally:
                    sender.close()
                result["results"].append(line)
    show(result["results"])
    print(f"\n{note}")
    neighbours.note(result["made"])
    write_result("loadgen", result)
    return int(any(line[scenario]["failed"] for line in result["results"] for scenario in ("SingleStream", "Offline")))


if __name__ == "__main__":
    run(main)
