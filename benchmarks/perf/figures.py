"""The plots of docs/performance.md: what is drawn, and under which name (`FOLDER`). No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.perf import plots
from benchmarks.perf.cases import GRPC, JPEG, PIXELS, SHARED, SOFTWARE, TIMING
from benchmarks.perf.checks import find, median

FOLDER = "assets/performance"  # of docs/
ALTERNATIVES = {
    "rate": "Images per second over the requests in flight, for both cards, pixels and JPEGs",
    "latency": "Latency, median and 99th percentile, over the requests in flight, for both cards, pixels and JPEGs",
    "stages": "The share of each stage in the time of a request",
    "engine": "Images per second of the engine, onnxruntime and OpenVINO, by batch size and threads",
    "baselines": "Images per second of the server with the software card and of INT8 servers, by load",
}
_ORDER = ("client and transport", "wait for a decoder", "decode")
_SERIES = [(setup, kind) for setup in (TIMING, SOFTWARE) for kind in (PIXELS, JPEG)]


def embed(svg: str, name: str) -> list[str]:
    """The lines that show a plot; none where there is nothing to plot."""
    return [f"![{ALTERNATIVES[name]}]({FOLDER}/{name}.svg)", ""] if svg else []


def point_name(point: Mapping[str, Any]) -> str:
    """The load of a point of the baselines: "8 x 1 over gRPC"."""
    return f"{point['concurrency']} x {point['batch']} over {SHARED if point['shared'] else GRPC}"


def all_plots(results: Mapping[str, Any]) -> dict[str, str]:
    """Every plot that the results allow, as SVG by name."""
    found = {}
    if "load" in results:
        load = results["load"]
        found |= {"rate": rate(load), "latency": latency(load), "stages": stages(load)}
    if "engine" in results:
        found["engine"] = engine(results["engine"])
    if "baselines" in results:
        found["baselines"] = baselines(results["baselines"])
    return {name: svg for name, svg in found.items() if svg}


def rate(load: Mapping[str, Any]) -> str:
    """Images per second over the load."""
    title = "Throughput, one image per request over gRPC"
    return plots.lines(title, "requests in flight", "images/s", _over(load, "images_per_s"))


def latency(load: Mapping[str, Any]) -> str:
    """Median, and dashed the 99th percentile, over the load."""
    series = [*_over(load, "p50_ms"), *_over(load, "p99_ms", is_dashed=True)]
    title = "Latency, one image per request over gRPC: median, and dashed the 99th percentile"
    return plots.lines(title, "requests in flight", "ms", series, is_log=True)


def _over(load: Mapping[str, Any], figure: str, *, is_dashed: bool = False) -> list[plots.Line]:
    series = []
    for colour, (setup, kind) in enumerate(_SERIES):
        rows = find(load, server=setup.name, input=kind, transport=GRPC, batch=1)
        points = sorted((row["concurrency"], median(row, figure)) for row in rows)
        if points:
            series.append(plots.Line(f"{setup.name} card, {kind}", points, colour, is_dashed))
    return series


def stage_names(load: Mapping[str, Any]) -> list[str]:
    """Every stage, in the order of a request."""
    names = dict.fromkeys(stage for row in load["rows"] for stage in row["stages_ms"])
    return [name for name in dict.fromkeys([*_ORDER, *names]) if name in names]


def stages(load: Mapping[str, Any]) -> str:
    """The share of each stage in a request's time."""
    rows = {}
    for setup, kind in _SERIES:
        for row in find(load, server=setup.name, input=kind, transport=GRPC, batch=1):
            label = f"{setup.name}, {kind}, {row['concurrency']} in flight"
            rows[label] = {name: row["stages_ms"].get(name, 0.0) for name in stage_names(load)}
    return plots.stacks("Where the time of a request goes", rows, "ms")


def engine(result: Mapping[str, Any]) -> str:
    """The engine beside others', by batch size and threads."""
    peers = {"onnxruntime INT8": "onnxruntime int8", "OpenVINO INT8": "openvino int8"}
    groups = {}
    for line in result["comparison"]:
        rates = line["images_per_s"]
        best = {name: max((v for n, v in rates.items() if n.startswith(p)), default=0.0) for name, p in peers.items()}
        label = f"batch {line['batch']}, {line['threads']} thread{'s' * (line['threads'] > 1)}"
        groups[label] = {"engine (W1A2)": rates["engine"], **best}
    return plots.bars("The software card's engine against INT8 engines", groups, "images/s")


def baselines(result: Mapping[str, Any]) -> str:
    """The server beside INT8 servers, by load."""
    groups = {}
    for point in result["points"]:
        rates = {name.partition("_")[0]: of["images_per_s"] for name, of in point["contenders"].items()}
        groups[point_name(point)] = rates
    return plots.bars("The server with the software card against INT8 servers", groups, "images/s")
