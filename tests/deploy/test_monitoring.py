"""Rules, dashboard and their documentation hold together, and name only metrics that a real server has."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from resnet50_triton.server.process import Server

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
UNIT_TESTS = ROOT / "tests" / "deploy" / "rules_test.yml"
METRIC = re.compile(r"\b(?:resnet50|nv)_[a-z0-9_]+(?=[{\[ )=><]|$)")

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="no promtool (scripts/setup-promtool installs it)"
)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def queries() -> list[str]:
    """The dashboard's."""
    panels = json.loads((MONITORING / "grafana-dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def promtool(*words: object) -> None:
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_the_rules_do_what_their_unit_tests_say() -> None:
    promtool("test", "rules", UNIT_TESTS)


@needs_promtool
def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    promtool("check", "config", MONITORING / "prometheus.yml")  # with the rules that it names


@needs_promtool
def test_prometheus_can_read_the_dashboards_queries(tmp_path: Path) -> None:
    asked = [{"record": f"panel:{n}", "expr": query} for n, query in enumerate(queries())]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": asked}]}))
    promtool("check", "rules", tmp_path / "queries.yml")


def test_every_alert_has_a_unit_test_that_fires_it() -> None:
    fired = {
        test["alertname"]
        for case in yaml.safe_load(UNIT_TESTS.read_text())["tests"]
        for test in case.get("alert_rule_test", [])
        if test["exp_alerts"]
    }
    assert fired == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_every_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert f'| <a id="{anchor}"></a>' in (ROOT / page).read_text()


@pytest.mark.server
def test_every_metric_exists_on_a_real_server(server: Server) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = [*queries(), *(rule["expr"] for rule in rules())]
    assert {name for query in asked for name in re.findall(r"\bjob:[\w:]+", query)} <= recorded
    wanted = {name for query in asked for name in METRIC.findall(re.sub(r"job:[\w:]+|\"[^\"]*\"", "", query))}
    assert len(wanted) > 20
    # A software card has no power, and there is no standby; tests/runtime looks for both where they are.
    wanted -= {"resnet50_power_watts", "resnet50_standby_active"}
    deadline_s = time.monotonic() + 60  # the model publishes once a second, histograms from its first batch on
    missing = wanted
    while missing and time.monotonic() < deadline_s:
        _classify(server)
        text = urllib.request.urlopen(f"http://{server.metrics_url}/metrics").read().decode()
        missing = wanted - set(re.findall(r"^(\w+)\{", text, re.M)) - set(re.findall(r"^(\w+) ", text, re.M))
        time.sleep(0.2 if missing else 0)
    assert not missing


def _classify(server: Server) -> None:
    import numpy as np
    import tritonclient.grpc as grpc

    with grpc.InferenceServerClient(server.grpc_url) as client:
        pixels = grpc.InferInput("PIXELS", [1, 224, 224, 3], "UINT8")
        pixels.set_data_from_numpy(np.zeros((1, 224, 224, 3), np.uint8))
        client.infer("resnet50", [pixels])


def test_the_dashboard_is_what_its_program_writes() -> None:
    pytest.importorskip("grafana_foundation_sdk", reason="grafana-foundation-sdk is not for Python 3.10")
    written = runpy.run_path(str(MONITORING / "dashboard.py"))["build"]()
    assert written == (MONITORING / "grafana-dashboard.json").read_text(), "run deploy/monitoring/dashboard.py"


def test_the_dashboards_panels_do_not_overlap() -> None:
    panels = json.loads((MONITORING / "grafana-dashboard.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not taken & cells
        assert max(x for x, _ in cells) < 24
        taken |= cells
