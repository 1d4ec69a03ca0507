"""The sections of docs/performance.md, each from the result of one program or of several. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.perf import published
from benchmarks.perf.cases import FULL, GRPC, HTTP, JPEG, PIXELS, PRESETS, SHARED, SOFTWARE, TIMING
from benchmarks.perf.checks import MET, NOT_MEASURED, NOT_MET, find, judge, median, spread

QUIET = 0.25  # of the cores in use before the measurement: no more
LEAST_ROUNDS = 3

Results = Mapping[str, Any]  # by name of the program's JSON

HEAD = """\
# Performance

*Made by `make performance` from `benchmarks/results/*.json`: do not edit it. `make bench-all` measures everything
and writes this page again.*

This page is for those who compare servers or look for a bottleneck. Nothing here was measured on a real card. Two
cards stand in for it:

- The **timing card** takes the published time of an Alveo U250 and computes nothing, so the CPU stays free, as with an
  Alveo. It shows what a client sees of a U250, if a U250 takes its published time.
- The **software card** computes the same network, bit for bit, on the CPU that it shares with server and client.

```console
make bench                # perf_analyzer on the whole server: build/bench/load.json, and load.md
make bench-compare        # what changed beyond noise since the figures below: OLD=a.json NEW=b.json compares others
```
"""


def render(results: Results) -> str:
    """The document."""
    parts = [HEAD, *_made(results), *_checks(results), *_beside_published(results)]
    if "load" in results:
        parts += [*_presets(results["load"]), *_stages(results["load"]), *_ceilings(results["load"])]
        parts += _figures(results["load"])
    for name, section in (("loadgen", _loadgen), ("baselines", _baselines)):
        if name in results:
            parts += section(results[name])
    return "\n".join(parts)


def _made(results: Results) -> list[str]:
    rows = []
    for result in results.values():
        made = result["made"]
        machine, loaded = made["machine"], made["machine"]["load_average_before"]
        rows.append(
            (
                f"`{made['command']}`",
                made["date"][:16].replace("T", " "),
                f"{machine['cores']} cores, {machine['cpu']}",
                loaded,
            )
        )
    versions: dict[str, str] = {}
    for result in results.values():
        versions |= result["made"]["versions"]
    return [
        "## How it was made",
        "",
        *_table(("command", "date (UTC)", "machine", "load average before"), rows),
        "",
        *_warnings(results),
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
    ]


def _warnings(results: Results) -> list[str]:
    """What makes figures worth less."""
    said = []
    for result in results.values():
        command, machine = result["made"]["command"], result["made"]["machine"]
        if machine["load_average_before"] > QUIET * machine["cores"]:
            said.append(f"`{command}` was run while others used the machine: expect better on a quiet one.")
        if not result.get("complete", True) or result.get("rounds", LEAST_ROUNDS) < LEAST_ROUNDS:
            said.append(f"`{command}` has few rounds, or was ended early.")
    return [line for text in said for line in (f"**{text}**", "")]


def _checks(results: Results) -> list[str]:
    checks = judge(results["load"]) if "load" in results else []
    rows = [(c["what"], c["asked"], c["figure"], _bold(c["verdict"])) for c in checks]
    points = results.get("baselines", {"points": []})["points"]
    for point in points:
        p99 = "at most" if point["p99_at_most"] else "above"
        ratio = f"{point['ratio']:.2f} times the images/s of the best baseline, p99 {p99} theirs"
        rows.append(
            (
                f"software card against a CPU server: {_load(point)}",
                "more images/s at no longer p99",
                ratio,
                _bold(MET if point["is_ahead"] else NOT_MET),
            )
        )
    if not points:
        rows.append(("software card against a CPU server", "more images/s at no longer p99", "-", NOT_MEASURED))
    return ["## Targets", "", *_table(("", "asked", "figure", "verdict"), rows), ""]


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict in (MET, NOT_MET) else verdict


def _beside_published(results: Results) -> list[str]:
    rows = [(f.what, str(f.images_per_s), f"{f.p50_ms:g}", str(f.p99_ms or "-"), f.label) for f in published.FIGURES]
    for setup, label in (
        (TIMING, "measured here, the timing card: the whole server, the card's time as published"),
        (SOFTWARE, "measured here, the software card: the whole server, the network on the CPU"),
    ):
        for kind, transport, batch, concurrency in (
            (PIXELS, GRPC, 1, 1),
            (PIXELS, HTTP, 1, 1),
            (JPEG, GRPC, 1, 1),
            (PIXELS, SHARED, FULL if setup is TIMING else 32, 4 if setup is TIMING else 2),
        ):
            wanted = {"input": kind, "transport": transport, "batch": batch, "concurrency": concurrency}
            for row in find(results.get("load", {"rows": []}), server=setup.name, **wanted):
                medians = (_number(median(row, figure)) for figure in ("images_per_s", "p50_ms", "p99_ms"))
                load = "one image alone" if batch == concurrency == 1 else f"{concurrency} requests of {batch}"
                rows.append((f"ours, {setup.name} card, {kind} over {transport}, {load}", *medians, label))
    return [
        "## Beside published figures",
        "",
        "Each row measures something else: the last column says what. The published",
        f"ones are from {published.SOURCES}.",
        "",
        *_table(("", "images/s", "p50, ms", "p99, ms", "what it is"), rows),
        "",
    ]


def _presets(load: Mapping[str, Any]) -> list[str]:
    rows = []
    for setup in (TIMING, *PRESETS):
        for row in find(load, server=setup.name, input=PIXELS, transport=SHARED, batch=1):
            rows.append(
                (
                    setup.preset or "none",
                    row["concurrency"],
                    *_spreads(row),
                    row["mean_batch"],
                )
            )
    told = [f"- {name}: {text}" for name, text in load["setups"].items()]
    return [
        "## Presets",
        "",
        "The timing card, PIXELS over shared memory, one image a request. [Serving](serving.md#presets) says what",
        "each preset sets.",
        "",
        *_table(("preset", "in flight", *_SPREADS, "images in a run"), rows),
        "",
        "The servers that were measured:",
        "",
        *told,
        "",
    ]


def _stages(load: Mapping[str, Any]) -> list[str]:
    rows, names = [], list(dict.fromkeys(stage for row in load["rows"] for stage in row["stages_ms"]))
    order = ["client and transport", "wait for a decoder", "decode", *names]
    names = [name for name in dict.fromkeys(order) if name in names]
    for setup in (TIMING, SOFTWARE):
        for kind in (PIXELS, JPEG):
            for row in find(load, server=setup.name, input=kind, transport=GRPC, batch=1):
                stages = [_number(row["stages_ms"].get(name)) for name in names]
                rows.append((setup.name, kind, row["concurrency"], *stages))
    return [
        "## Where the time goes",
        "",
        "Mean milliseconds of a request of one image over gRPC. What the server does not see is the client's and the",
        "transport's. Client, server and network share the cores, so every column includes the wait for one.",
        "",
        *_table(("card", "input", "in flight", *names), rows),
        "",
    ]


def _ceilings(load: Mapping[str, Any]) -> list[str]:
    if not load.get("ceilings"):
        return []
    rows = []
    for way in load["ceilings"]:
        stages = [(s["name"], s["images_per_s"], s["cpu_ms"]) for s in way["stages"]]
        for name, rate, cpu_ms in [*stages, ("the cores, for all of it", way["of_cores"], sum(s[2] for s in stages))]:
            which = f"**{name}: the bottleneck**" if name == way["bottleneck"] else name
            rows.append((way["server"], way["input"], which, _number(rate), _number(cpu_ms)))
        reached = f"{_number(way['reached'])}, {way['reached'] / way['ceiling']:.0%} of {_number(way['ceiling'])}"
        rows.append((way["server"], way["input"], "**reached, at the best load**", reached, ""))
    return [
        "## The bottleneck",
        "",
        "What each stage does alone, on all cores, and its processor time per image. The server, its client and a",
        "software card share the cores. Transport and queue are measured with a card that answers at once. The stages",
        "are measured after the loads: if others use the machine meanwhile, the loads may have reached more.",
        "",
        *_table(("card", "input", "stage, alone", "images/s", "CPU, ms an image"), rows),
        "",
    ]


_SPREADS = ("images/s", "p50, ms", "p99, ms")


def _spreads(row: Mapping[str, Any]) -> list[str]:
    return [spread(row[figure]) for figure in ("images_per_s", "p50_ms", "p99_ms")]


def _figures(load: Mapping[str, Any]) -> list[str]:
    parts = [
        "## All loads",
        "",
        f"Medians of {load['rounds']} rounds of {load['seconds']} s by perf_analyzer, in brackets the lowest and the "
        f"highest. JPEG: {load['jpegs']}.",
        "",
    ]
    for setup in (TIMING, SOFTWARE):
        rows = [
            (r["input"], r["transport"], r["batch"], r["concurrency"], *_spreads(r), r["mean_batch"])
            for r in find(load, server=setup.name)
        ]
        head = ("input", "transport", "images a request", "in flight", *_SPREADS, "images in a run")
        parts += [f"### The {setup.name} card", "", *_table(head, rows), ""]
    return parts


def _loadgen(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for r in result["results"]:
        single, server = r["SingleStream"], r["Server"]
        p99 = "-" if server["p99_s"] is None else _ms(server["p99_s"])
        rows.append(
            (
                r["card"],
                r["input"],
                _number(single["images_per_s"]),
                *(_ms(single[f"p{p}_s"]) for p in (50, 90, 99)),
                _number(r["Offline"]["images_per_s"]),
                _number(server["images_per_s"]),
                p99,
            )
        )
    head = (
        "card",
        "input",
        "SingleStream, images/s",
        "p50, ms",
        "p90, ms",
        "p99, ms",
        "Offline, images/s",
        "Server, images/s",
        "p99, ms",
    )
    return ["## MLPerf's LoadGen, unofficial", "", result["note"], "", *_table(head, rows), ""]


def _baselines(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for point in result["points"]:
        for name, figures in point["contenders"].items():
            verdict = f"{point['ratio']:.2f} times the best baseline" if name == "resnet50" else ""
            rows.append(
                (
                    _load(point),
                    name,
                    _number(figures["images_per_s"]),
                    _ms(figures["p50_s"]),
                    _ms(figures["p99_s"]),
                    verdict,
                )
            )
    return [
        "## Against INT8 servers on a CPU",
        "",
        result["note"],
        "",
        *_table(("load", "model", "images/s", "p50, ms", "p99, ms", ""), rows),
        "",
    ]


def _load(point: Mapping[str, Any]) -> str:
    return f"{point['concurrency']} x {point['batch']} over {SHARED if point['shared'] else GRPC}"


def _ms(seconds: float) -> str:
    return _number(1e3 * seconds)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
