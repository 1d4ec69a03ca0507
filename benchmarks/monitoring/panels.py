"""The dashboard's panels as pictures, from a real run: `make dashboard-panels` writes docs/images/dashboard-*.png.

Grafana is not needed: Prometheus, with deploy/monitoring/rules.yml, scrapes two servers under load, is asked the
dashboard's own queries, and matplotlib draws the answers. One server has the timing card (an Alveo's time, no results)
under rising load; the other the software card, with faults put in on purpose. Prints which alerts fired.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates as dates
import matplotlib.pyplot as plt
import numpy as np
import tritonclient.grpc as grpc
from PIL import Image
from resnet50_triton.cards.faulty import inject
from resnet50_triton.cards.software import FAULTS_VARIABLE
from resnet50_triton.server.process import Ports, Server
from resnet50_triton.server.repository import default_repository, make_repository

from benchmarks.common.machine import ROOT, SAMPLE, sample_images

MONITORING = ROOT / "deploy" / "monitoring"
STEP_S = 2
UNITS = {"s": ("ms", 1e3), "watt": ("W", 1.0), "percentunit": ("%", 100.0), "short": ("", 1.0)}
PARAMETERS = {
    "timing": {"card": "timing:0"},
    "software": {"kernel_timeout_s": "2", "selftest_interval_s": "5", "cross_check_percent": "20"},
}
IN_FLIGHT = {"timing": (1, 4, 16, 32), "software": (4,)}  # requests of one image; each for an equal part of the run
FAULTS = (  # at which part of the run
    (0.3, {"fault": "hang"}),
    (0.5, {"fault": "wrong", "count": 20}),
    (0.75, {"fault": "vanish", "seconds": 6.0}),
)


@contextmanager
def load(url: str, jpegs: list[bytes], in_flight: int) -> Iterator[None]:
    """Requests of one JPEG kept in flight, whatever the answers are."""
    ended = threading.Event()

    def work(first: int) -> None:
        tensor = grpc.InferInput("IMAGE", [1, 1], "BYTES")
        outputs = [grpc.InferRequestedOutput("TOP5")]
        with grpc.InferenceServerClient(url) as client:
            for index in range(first, 10**9):
                if ended.is_set():
                    return
                tensor.set_data_from_numpy(np.array([[jpegs[index % len(jpegs)]]], object))
                try:
                    client.infer("classify", [tensor], outputs=outputs, client_timeout=10)
                except grpc.InferenceServerException:
                    time.sleep(0.05)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(in_flight)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(15)


def drive(name: str, url: str, jpegs: list[bytes], seconds: float) -> None:
    """The load of one server, from the first to the last level."""
    for in_flight in IN_FLIGHT[name]:
        with load(url, jpegs, in_flight):
            time.sleep(seconds / len(IN_FLIGHT[name]))


@contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[str]:
    """Prometheus with our rules, scraping `targets` (job: host:port); its address."""
    shutil.copy(MONITORING / "rules.yml", folder)
    scrapes = [{"job_name": job, "static_configs": [{"targets": [url]}]} for job, url in targets.items()]
    config = {
        "global": {"scrape_interval": f"{STEP_S}s", "evaluation_interval": f"{STEP_S}s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": scrapes,
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    address = f"127.0.0.1:{Ports.free().http}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s and process.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"http://{address}/-/ready"):
                yield address
                return
            time.sleep(0.2)
        raise SystemExit("prometheus did not start:\n" + (folder / "log").read_text()[-2000:])
    finally:
        process.terminate()
        process.wait()


def ask(address: str, query: str, begin_s: float, end_s: float) -> list[dict[str, Any]]:
    """Series of a query over the run: {"metric": labels, "values": [[s, text], ...]}."""
    words = urllib.parse.urlencode({"query": query, "start": begin_s, "end": end_s, "step": STEP_S})
    with urllib.request.urlopen(f"http://{address}/api/v1/query_range?{words}") as answer:
        return list(json.load(answer)["data"]["result"])


def draw(address: str, job: str, title: str, begin_s: float, end_s: float, output: Path) -> None:
    """All panels of the dashboard, for one job."""
    panels = [p for p in json.loads((MONITORING / "grafana-dashboard.json").read_text())["panels"] if "targets" in p]
    figure, axes = plt.subplots(-(-len(panels) // 3), 3, figsize=(15, 13), dpi=75, layout="constrained")
    figure.suptitle(title, fontsize=15)
    for panel, axis in zip(panels, axes.flat, strict=True):
        unit, factor = UNITS[panel["fieldConfig"]["defaults"]["unit"]]
        series = []
        for target in panel["targets"]:
            for found in ask(address, target["expr"].replace("$job", job), begin_s, end_s):
                legend = re.sub(r"{{(\w+)}}", lambda m, f=found: f["metric"].get(m[1], ""), target["legendFormat"])
                series.append((legend, {float(t): factor * float(v) for t, v in found["values"]}))
        if panel["fieldConfig"]["defaults"]["custom"].get("stacking"):
            times = sorted({t for _, values in series for t in values})
            stack = [[values.get(t, 0.0) for t in times] for _, values in series]
            axis.stackplot(moments(times), stack, labels=[legend for legend, _ in series], alpha=0.7)
        else:
            for legend, values in series:
                axis.plot(moments(list(values)), list(values.values()), label=legend)
        axis.set_title(panel["title"] + (f" [{unit}]" if unit else ""), fontsize=12)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
        axis.xaxis.set_major_locator(dates.MinuteLocator())
        if series:
            axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncol=3, frameon=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)
    plt.close(figure)
    shrink(output)
    print(f"wrote {output} ({output.stat().st_size // 1024} KiB)")


def shrink(path: Path) -> None:
    """A palette of 48 colours does for plots, at a third of the size."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(48, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def moments(times_s: list[float]) -> list[datetime]:
    """As matplotlib takes them."""
    return [datetime.fromtimestamp(t) for t in times_s]


def main() -> int:
    """Serve, load, break, ask, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--seconds", type=float, default=200.0, help="of load (default: %(default)s)")
    options = parser.parse_args()
    if not shutil.which("prometheus"):
        parser.error("no prometheus on PATH: apt-get install prometheus (scripts/setup-promtool does it)")
    jpegs = [path.read_bytes() for path in sample_images()]
    with tempfile.TemporaryDirectory(prefix="resnet50-panels-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        os.environ[FAULTS_VARIABLE] = str(folder / "faults.json")
        inject(folder / "faults.json")
        servers = {}
        for name, parameters in PARAMETERS.items():
            repository = make_repository(
                folder / name,
                default_repository(),
                SAMPLE / "card.xclbin",
                SAMPLE / "fcweights.csv",
                parameters={"resnet50": parameters, "preprocess": {"decode_workers": "2"}},
            )
            servers[name] = stack.enter_context(Server(repository))
        for server in servers.values():
            server.wait_ready()
        jobs = {name: f"resnet50-{name}" for name in servers}
        targets = {jobs[name]: server.metrics_url for name, server in servers.items()}
        address = stack.enter_context(prometheus(folder, targets))
        begin_s = time.time()
        print(f"{options.seconds:g} s of load on two servers ...", flush=True)
        threads = [
            threading.Thread(target=drive, args=(name, server.grpc_url, jpegs, options.seconds))
            for name, server in servers.items()
        ]
        for thread in threads:
            thread.start()
        for part, fault in FAULTS:
            time.sleep(max(0.0, begin_s + part * options.seconds - time.time()))
            inject(folder / "faults.json", fault)
            print(f"  {time.time() - begin_s:.0f} s: {fault}", flush=True)
        for thread in threads:
            thread.join()
        end_s = time.time()
        day = time.strftime("%Y-%m-%d")
        titles = {"timing": "timing card, 1, 4, 16, 32 requests in flight", "software": "software card, with faults"}
        for name, job in jobs.items():
            draw(address, job, f"{titles[name]}, {day}", begin_s, end_s, options.output / f"dashboard-{name}.png")
        fired = {s["metric"]["alertname"] for s in ask(address, 'ALERTS{alertstate="firing"}', begin_s, end_s)}
        print("alerts that fired:", ", ".join(sorted(fired)) or "none")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
