"""The sections of docs/performance.md, each from the result of one program or of several. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.perf import figures, published
from benchmarks.perf.cases import FULL, GRPC, JPEG, PIXELS, PRESETS, SHARED, SOFTWARE, TIMING, TRANSPORTS
from benchmarks.perf.checks import MET, MISSED, NONE, NOT_MEASURED, find, judge, median
from benchmarks.perf.tables import machine_state, milliseconds, number, table

LEAST_ROUNDS = 3
ADDED_S = 1e-3  # by Triton to one image alone, the target
SERVED_SHARE = 0.95  # of the images/s of `kernel.py` in a loop, the target
ENGINE_RATIO = 2.75  # of the engine to the best INT8 engine, at every batch size and number of threads, the target
SECOND_THREAD = 1.9  # times one thread, with one image, the target

Results = Mapping[str, Any]  # by name of the program's JSON

HEAD = """\
# Performance

*Made by `make performance` from `benchmarks/results/*.json`: do not edit it. `make bench-all` measures everything
and writes this page again.*

This page is for those who compare servers or look for a bottleneck. Nothing here was measured on a real card. The
**timing card** takes the published time of an Alveo U250 and computes nothing, so the CPU stays free, as with an
Alveo. The **software card** computes the same network, bit for bit, on the CPU that it shares with server and client.
`make bench` puts perf_analyzer's load on the whole server, and `make bench-compare` shows what changed beyond noise
since the figures below (`OLD=a.json NEW=b.json` compares others).
"""


def render(results: Results) -> str:
    """The document."""
    parts = [HEAD, *_made(results), *_targets(results)]
    if "load" in results:
        load = results["load"]
        parts += [*_over_load(load), *_stages(load), *_ceilings(load), *_presets(load), *_loads(load)]
    for name, section in (("serving", _serving), ("engine", _engine), ("baselines", _baselines)):
        if name in results:
            parts += section(results[name])
    parts += _beside_published(results)
    if "loadgen" in results:
        parts += _loadgen(results["loadgen"])
    return "\n".join(parts)


def _made(results: Results) -> list[str]:
    rows = []
    versions: dict[str, dict[str, None]] = {}  # each package's, in the order of the results
    for result in results.values():
        made = result["made"]
        for name, version in made["versions"].items():
            versions.setdefault(name, {})[version] = None
        state = machine_state(made)
        if not result.get("complete", True) or result.get("rounds", LEAST_ROUNDS) < LEAST_ROUNDS:
            state += "; **few rounds, or ended early**"
        cores = f"{made['machine']['cores']} cores, {made['machine']['cpu']}"
        rows.append((f"`{made['command']}`", made["date"][:16].replace("T", " "), cores, state))
    return [
        "## How it was measured",
        "",
        "Bold in the last column: others used the machine enough to make the figures worse.",
        "",
        *table(("command", "date (UTC)", "machine", "state of the machine"), rows),
        "",
        "Versions: " + ", ".join(f"{name} {' and '.join(each)}" for name, each in versions.items()) + ".",
        "",
    ]


def _targets(results: Results) -> list[str]:
    checks = judge(results["load"]) if "load" in results else []
    rows = [(c["what"], c["target"], c["figure"], _bold(c["verdict"])) for c in checks if c["verdict"] != NONE]
    rows += _served(results["serving"]) if "serving" in results else []
    rows += _engine_targets(results["engine"]) if "engine" in results else []
    points = results.get("baselines", {"points": []})["points"]
    if points:
        ratios = [point["ratio"] for point in points]
        behind = [figures.point_name(point) for point in points if not point["is_ahead"]]
        p99 = "at most theirs" if all(point["p99_at_most"] for point in points) else "above theirs at some"
        figure = f"{min(ratios):.2f} to {max(ratios):.2f} times the images/s of the best baseline, p99 {p99}"
        figure += f"; missed at {', '.join(behind)}" if behind else ""
        what = f"software card against a CPU server, at each of {len(points)} loads"
        rows.append((what, "more images/s at no longer p99", figure, _verdict(not behind)))
    else:
        rows.append(("software card against a CPU server", "more images/s at no longer p99", "-", NOT_MEASURED))
    return ["## Targets", "", *table(("", "target", "figure", "verdict"), rows), ""]


def _served(serving: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What Triton costs on each card, beside the targets."""
    rows = []
    for card in serving["cards"]:
        share = min(row["pipelined"]["ratio"] for row in card["throughput"])
        what = f"{_kind(card)} card, PIXELS, three requests in flight, beside `kernel.py` in a loop"
        rows.append((what, f"at least {SERVED_SHARE:.0%}", f"{share:.0%} or more", _verdict(share >= SERVED_SHARE)))
        added_s = card["latency"]["pipelined, perf_analyzer, gRPC"]["added_s"]
        what = f"{_kind(card)} card, PIXELS over gRPC, one image alone, beside `kernel.py` in a loop"
        rows.append((what, "at most 1 ms more", f"{1e3 * added_s:.2f} ms more", _verdict(added_s <= ADDED_S)))
    return rows


def _engine_targets(engine: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The engine beside the best INT8 engine, and its second thread, beside the targets."""
    ratios = [line["ratio_to_best_int8"] for line in engine["comparison"]]
    figure = f"{min(ratios):.2f} to {max(ratios):.2f} times"
    what = "the engine alone, beside the best INT8 engine, at every batch size and number of threads"
    rows = [(what, f"at least {ENGINE_RATIO:g} times its images/s", figure, _verdict(min(ratios) >= ENGINE_RATIO))]
    second = [line["ratio_to_own_single_thread"] for line in engine["comparison"] if line["batch"] == 1]
    for ratio in filter(None, second):
        verdict = _verdict(ratio >= SECOND_THREAD)
        what, target = "the engine with two threads on one image", f"at least {SECOND_THREAD:g} times one thread"
        rows.append((what, target, f"{ratio:.2f} times", verdict))
    return rows


def _verdict(holds: bool) -> str:
    return _bold(MET if holds else MISSED)


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict in (MET, MISSED) else verdict


def _over_load(load: Mapping[str, Any]) -> list[str]:
    return [
        "## Throughput and latency by load",
        "",
        "One image per request over gRPC. Batches grow with the load, and so does the throughput.",
        "",
        *figures.embed(figures.rate(load), "rate"),
        *figures.embed(figures.latency(load), "latency"),
    ]


def _stages(load: Mapping[str, Any]) -> list[str]:
    rows, names = [], figures.stage_names(load)
    for setup in (TIMING, SOFTWARE):
        for kind in (PIXELS, JPEG):
            for row in find(load, server=setup.name, input=kind, transport=GRPC, batch=1):
                if row["concurrency"] not in (1, 16):
                    continue
                stages = [number(row["stages_ms"].get(name)) for name in names]
                rows.append((setup.name, kind, row["concurrency"], *stages))
    return [
        "## Where the time goes",
        "",
        "Mean milliseconds of a request of one image over gRPC. What the server does not see is the client's and the",
        "transport's. Client, server and network share the cores, so every column includes the wait for one.",
        "",
        *figures.embed(figures.stages(load), "stages"),
        *table(("card", "input", "in flight", *names), rows),
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
            rows.append((way["server"], way["input"], which, number(rate), number(cpu_ms)))
        reached = f"{number(way['reached'])}, {way['reached'] / way['ceiling']:.0%} of {number(way['ceiling'])}"
        rows.append((way["server"], way["input"], "**reached, at the best load**", reached, ""))
    return [
        "## The bottleneck",
        "",
        "What each stage does alone, on all cores, and its processor time per image. The",
        "server, its client and a software card share the cores. Transport and queue are measured with a card that",
        "answers at once.",
        "",
        *table(("card", "input", "stage, alone", "images/s", "CPU, ms per image"), rows),
        "",
    ]


def _presets(load: Mapping[str, Any]) -> list[str]:
    setups = (TIMING, *PRESETS)
    cells: dict[int, dict[str, str]] = {}
    for setup in setups:
        for row in find(load, server=setup.name, input=PIXELS, transport=SHARED, batch=1):
            cells.setdefault(row["concurrency"], {})[setup.name] = f"{_cell(row)} · {row['mean_batch']:.1f}"
    measured = [setup for setup in setups if any(setup.name in row for row in cells.values())]
    rows = [(load_, *(row.get(s.name, "-") for s in measured)) for load_, row in sorted(cells.items())]
    told = "; ".join(f"{name}: {text}" for name, text in load["setups"].items())
    return [
        "## Presets",
        "",
        "The timing card, PIXELS over shared memory, one image per request: images/s · p50 · p99 in ms · mean batch",
        "size.",
        f"[Serving](serving.md#presets) says what each preset sets. The servers: {told}.",
        "",
        *table(("in flight", *(setup.preset or "no preset" for setup in measured)), rows),
        "",
    ]


def _loads(load: Mapping[str, Any]) -> list[str]:
    rows = []
    for setup in (TIMING, SOFTWARE):
        for kind in (PIXELS, JPEG):
            mine = find(load, server=setup.name, input=kind)
            for batch, concurrency in sorted({(row["batch"], row["concurrency"]) for row in mine}):
                at = find({"rows": mine}, batch=batch, concurrency=concurrency)
                cells = {row["transport"]: _cell(row) for row in at}
                rows.append((setup.name, kind, batch, concurrency, *(cells.get(t, "-") for t in TRANSPORTS)))
    return [
        "## All loads",
        "",
        f"images/s · p50 · p99 in ms: medians of {load['rounds']} rounds of {load['seconds']} s by perf_analyzer. "
        f"{_noise(load)}JPEG: {load['jpegs']}.",
        "",
        *table(("card", "input", "images per request", "in flight", *TRANSPORTS), rows),
        "",
    ]


def _noise(load: Mapping[str, Any]) -> str:
    """How far the rounds of a case lie apart."""
    spreads = sorted(
        (max(row["images_per_s"]) - min(row["images_per_s"])) / median(row, "images_per_s") for row in load["rows"]
    )
    if not spreads:
        return ""
    middle, most = spreads[len(spreads) // 2], spreads[-1]
    return (
        f"The slowest and the fastest round of a load differ by {middle:.0%} in the median and by {most:.0%} at most "
        "(`benchmarks/results/load.json` has all). "
    )


def _cell(row: Mapping[str, Any]) -> str:
    return " · ".join(number(median(row, figure)) for figure in ("images_per_s", "p50_ms", "p99_ms"))


def _serving(result: Mapping[str, Any]) -> list[str]:
    rates, times = [], []
    for card in result["cards"]:
        for row in card["throughput"]:
            cells = [f"{row[n]['images_per_s']:.0f} ({row[n]['ratio']:.2f})" for n in ("pipelined", "simple")]
            kernel = f"{row['kernel']['images_per_s']:.0f}"
            rates.append((_kind(card), row["batch"], row["transport"], *cells, kernel))
        latency = card["latency"]
        for way in ("perf_analyzer, gRPC", "perf_analyzer, shared memory", "tritonclient, gRPC"):
            both = [latency[f"{n}, {way}"] for n in ("pipelined", "simple")]
            cells = [f"{1e3 * t['median_s']:.2f} ms (+{1e3 * t['added_s']:.2f})" for t in both]
            times.append((_kind(card), way, *cells, f"{1e3 * latency['kernel']['median_s']:.2f} ms"))
    models = ("`resnet50`", "a synchronous model", "`kernel.py` in a loop")
    return [
        "## What Triton costs",
        "",
        "`resnet50` alone, without decoding, beside a synchronous model and beside `runtime/kernel.py` in a loop, in",
        "interleaved rounds. Images/s with three requests in flight, in brackets the ratio to the loop:",
        "",
        *table(("card", "images per request", "transport", *models), rates),
        "",
        "One image alone, median, in brackets what is added to the loop:",
        "",
        *table(("card", "client, transport", *models), times),
        "",
        *_note(result),
    ]


def _note(result: Mapping[str, Any]) -> list[str]:
    """What was seen beside the figures."""
    return [result["note"], ""] if "note" in result else []


def _kind(card: Mapping[str, Any]) -> str:
    return str(card["card"]).partition(":")[0]


def _engine(result: Mapping[str, Any]) -> list[str]:
    names = {"onnxruntime INT8": "onnxruntime int8", "OpenVINO INT8": "openvino int8"}
    names |= {"OpenVINO, binary": "openvino binary", "OpenVINO FP32": "openvino fp32"}
    rows = []
    for line in result["comparison"]:
        rate = line["images_per_s"]
        best = [max((v for n, v in rate.items() if n.startswith(prefix)), default=None) for prefix in names.values()]
        ratio = f"{line['ratio_to_best_int8']:.2f}"
        rows.append((line["batch"], line["threads"], number(rate["engine"]), *map(number, best), ratio))
    head = ("batch", "threads", f"engine ({result['isa']})", *names, "ratio to the best INT8")
    return [
        "## The engine against INT8 engines",
        "",
        "Images/s of the software card's [engine](engine.md#how-fast-it-is), without a server, beside engines that run",
        "the same topology with random weights, each in its better configuration. Not the same network: W1A2 and INT8.",
        "",
        *figures.embed(figures.engine(result), "engine"),
        *table(head, rows),
        "",
    ]


def _baselines(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for point in result["points"]:
        cells = []
        for name, of in point["contenders"].items():
            rate, times = number(of["images_per_s"]), (milliseconds(of["p50_s"]), milliseconds(of["p99_s"]))
            how = name.partition("_")[2].replace("_", ", ")
            cells.append(" · ".join((rate, *times)) + (f" ({how})" if how else ""))
        rows.append((figures.point_name(point), *cells, f"{point['ratio']:.2f}"))
    names = [name.partition("_")[0] for name in result["points"][0]["contenders"]]
    return [
        "## The server against INT8 servers on a CPU",
        "",
        result["note"],
        "",
        *figures.embed(figures.baselines(result), "baselines"),
        "images/s · p50 · p99 in ms (instances x threads, largest batch):",
        "",
        *table(("load", *names, "ratio to the best baseline"), rows),
        "",
    ]


def _beside_published(results: Results) -> list[str]:
    rows = [(f.what, str(f.images_per_s), f"{f.p50_ms:g}", str(f.p99_ms or "-"), f.label) for f in published.FIGURES]
    for setup, label in (
        (TIMING, "measured here: the whole server, the card's time as published"),
        (SOFTWARE, "measured here: the whole server, the network on the CPU"),
    ):
        full = (FULL, 4) if setup is TIMING else (32, 2)
        for kind, transport, batch, concurrency in ((PIXELS, GRPC, 1, 1), (PIXELS, SHARED, *full)):
            wanted = {"input": kind, "transport": transport, "batch": batch, "concurrency": concurrency}
            for row in find(results.get("load", {"rows": []}), server=setup.name, **wanted):
                medians = (number(median(row, figure)) for figure in ("images_per_s", "p50_ms", "p99_ms"))
                load = "one image alone" if batch == concurrency == 1 else f"{concurrency} requests of {batch}"
                rows.append((f"ours, {setup.name} card, {kind} over {transport}, {load}", *medians, label))
    return [
        "## Beside published figures",
        "",
        f"Each row measures something else, as its last column says. The published ones are from {published.SOURCES}.",
        "",
        *table(("", "images/s", "p50, ms", "p99, ms", "what it is"), rows),
        "",
    ]


def _loadgen(result: Mapping[str, Any]) -> list[str]:
    rows = []
    for r in result["results"]:
        single, server = r["SingleStream"], r["Server"]
        p99 = "-" if server["p99_s"] is None else milliseconds(server["p99_s"])
        times = (milliseconds(single[f"p{p}_s"]) for p in (50, 90, 99))
        rates = (number(r["Offline"]["images_per_s"]), number(server["images_per_s"]))
        rows.append((r["card"], r["input"], number(single["images_per_s"]), *times, *rates, p99))
    single = ("SingleStream, images/s", "p50, ms", "p90, ms", "p99, ms")
    head = ("card", "input", *single, "Offline, images/s", "Server, images/s", "p99, ms")
    return ["## MLPerf's LoadGen, unofficial", "", result["note"], "", *table(head, rows), ""]
