"""The chart and KServe's manifests: linted, rendered by the real helm, checked against schemas."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from deploy_support import (
    CHART,
    DEPLOY,
    NAMESPACE,
    VALUES,
    container,
    needs_tools,
    of_kind,
    render,
    run,
    split,
    template,
    validate,
)
from resnet50_triton.cli import build_parser
from resnet50_triton.runtime.metrics import FAMILIES
from resnet50_triton.server.process import Server
from resnet50_triton.triton.parameters import PREPROCESS, RESNET50

pytestmark = needs_tools
NAMED = {path.stem: path for path in VALUES}
EVERYTHING = Path(__file__).with_name("everything.yaml")  # what no file of values uses
CLAIMS = ("-f", NAMED["u250"], "--set", "card.resource=,card.deviceClass=u250.example.com")
IMAGE = ("--set", "image.repository=registry.example.com/resnet50-pynq")


def test_lint() -> None:
    for path in (*VALUES, EVERYTHING):
        done = run("helm", "lint", "--strict", CHART, "-f", path)
        assert done.returncode == 0, done.stdout + done.stderr


BREAKS = {  # what stands in a manifest, what to put there, and what the schemas have to say
    "autoscaled": [
        ("readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true", "readOnlyRootFileSystem"),
        ("policyTypes: [Ingress, Egress]", "policyTypes: Ingress", "policyTypes"),
        ("minReplicaCount: 2", "minReplicaCount: two", "minReplicaCount"),
        ("port: metrics\n      path", "prot: metrics\n      path", "prot: Extra inputs"),
    ],
    "everything": [
        ("alert: Resnet50NoCardWorks", "alarm: Resnet50NoCardWorks", "alarm: Extra inputs"),
        ("pathType: Exact", "pathTypes: Exact", "'pathType' is a required property"),
    ],
    "claims": [("deviceClassName", "deviceClass", "deviceClass")],
    "serving-runtime": [
        ("protocolVersions", "protocolVersion", "unknown field protocolVersion"),
        ("medium: Memory", "media: Memory", "media"),
    ],
    "inference-service": [
        ("minReplicas: 2", "minReplicas: two", "'two' is not of type int"),
        ("storageUri", "storageURI", "unknown field storageURI"),
    ],
}


@pytest.fixture(scope="module")
def validated() -> tuple[dict[str, list[str] | None], dict[str, list[str] | None]]:
    """What the schemas say: of every manifest by its text, and of the broken ones by what they should say.

    In one go, because loading the schemas takes seconds.
    """
    sources = {name: template("-f", path).stdout for name, path in NAMED.items()}
    sources |= {"everything": template("-f", EVERYTHING).stdout, "claims": template(*CLAIMS).stdout}
    sources |= {path.stem: path.read_text() for path in (DEPLOY / "kserve").glob("*.yaml")}
    good = [text for source in sources.values() for text in split(source)]
    broken = {}
    for name, breaks in BREAKS.items():
        for before, after, words in breaks:
            (document, *_) = (text for text in split(sources[name]) if before in text)
            broken[words] = document.replace(before, after)
    results = validate(good + list(broken.values()))
    return dict(zip(good, results, strict=False)), dict(zip(broken, results[len(good) :], strict=True))


def test_every_manifest_fits_its_schema(validated: tuple[dict[str, list[str] | None], object]) -> None:
    good, _ = validated
    assert len(good) >= 20
    assert [errors for errors in good.values() if errors] == []
    without = [yaml.safe_load(text)["kind"] for text, errors in good.items() if errors is None]
    assert set(without) == {"GRPCRoute"}  # no package of the index has the Gateway API's


@pytest.mark.parametrize("words", [words for breaks in BREAKS.values() for _, _, words in breaks])
def test_a_broken_manifest_is_found(words: str, validated: tuple[object, dict[str, list[str] | None]]) -> None:
    _, broken = validated
    assert any(words in error for error in broken[words] or []), broken[words]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "image.repository: name the image"),
        ({"card.name": "xrt:0"}, "/card"),
        ({"card.resource": "xilinx.com/fpga", "card.deviceClass": "u250.example.com"}, "/card"),
        ({"ingress.enabled": "true"}, "/ingress/host"),
        ({"service.type": "ExternalName"}, "/service/type"),
        ({"traces.otlp": "collector:4318"}, "/traces/otlp"),
        ({"card.name": "xrt:0", "card.resource": "xilinx.com/fpga-u250"}, "/model/sample"),
        ({"card.name": "gpu:0"}, "/card/name"),
        ({"model.sample": "false"}, "/model"),
        ({"model.repository": "s3://models/x"}, "/model"),
        ({"model.sample": "false", "model.repository": "ftp://models/x"}, "/model/repository"),
        ({"model.sample": "false", "model.repository": "/models/x"}, "/model/volume"),
        (
            {"model.sample": "false", "model.repository": "s3://m/x", "parameters.resnet50.min_ready_cards": "1"},
            "/parameters",
        ),
        ({"tls.mutual": "true"}, "/tls/secret"),
        ({"gateway.enabled": "true"}, "/gateway/parents"),
        ({"autoscaling.enabled": "true"}, "/autoscaling/imagesPerCard"),
        ({"autoscaling.enabled": "true", "autoscaling.imagesPerCard": "-1"}, "/autoscaling/imagesPerCard"),
        ({"replica": "3"}, "'replica' not allowed"),
    ],
)
def test_values_that_do_not_fit_are_refused(settings: dict[str, str], words: str) -> None:
    image = () if not settings else IMAGE
    done = template(*image, *(word for item in settings.items() for word in ("--set", "=".join(item))))
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_pod_keeps_to_the_restricted_standard(values: Path) -> None:
    rendered = render("-f", values)
    pod = of_kind(rendered, "Deployment")["spec"]["template"]["spec"]
    security = container(rendered)["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert not pod["automountServiceAccountToken"]
    # All that is written lies on volumes, and shared memory is memory with a size.
    mounts = {
        mount["mountPath"]: mount["name"] for mount in container(rendered)["volumeMounts"] if not mount.get("readOnly")
    }
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(mounts) == {"/tmp", "/dev/shm"}
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
    assert re.fullmatch(r"\d+[MG]i", volumes[mounts["/dev/shm"]]["emptyDir"]["sizeLimit"])


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_selectors_select_the_pods_and_no_others(values: Path) -> None:
    rendered = render("-f", values)
    labels = of_kind(rendered, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [of_kind(rendered, "Deployment")["spec"]["selector"]["matchLabels"]]
    selectors += [document["spec"]["selector"] for document in rendered if document["kind"] == "Service"]
    selectors.append(of_kind(rendered, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"])
    selectors.append(of_kind(rendered, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"])
    for selector in selectors:
        assert selector.items() <= labels
        assert selector["app.kubernetes.io/instance"] == "fpga"  # another release's pods have another
    if values.stem in ("autoscaled", "u250"):
        monitor = of_kind(rendered, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
        services = [
            d["metadata"]["name"]
            for d in rendered
            if d["kind"] == "Service" and monitor.items() <= d["metadata"]["labels"].items()
        ]
        assert services == ["fpga-resnet50-pynq-pods"]  # not the other one as well: every sample would count twice


def test_who_may_connect() -> None:
    def allowed(values: str, *more: str) -> dict[str, list[dict[str, object]]]:
        rendered = render("-f", NAMED[values], *more)
        rules = of_kind(rendered, "NetworkPolicy")["spec"]["ingress"]
        peers = {port["port"]: rule["from"] for rule in rules for port in rule["ports"]}
        assert set(peers) == {port["name"] for port in container(rendered)["ports"]}
        assert ("http" in peers) == ("--http-host=127.0.0.1" not in container(rendered)["args"])
        return peers

    namespace = [{"podSelector": {}}]
    assert set(allowed("software")) == {"grpc", "metrics"}
    assert allowed("software")["grpc"] == namespace
    assert allowed("software")["metrics"] != namespace
    assert allowed("software", "--set", "http.open=true")["http"] == namespace
    assert "http" not in allowed("tls", "--set", "http.open=true")  # Triton cannot encrypt it
    egress = {
        name: of_kind(render("-f", NAMED[name]), "NetworkPolicy")["spec"]["egress"]
        for name in ("software", "autoscaled")
    }
    assert egress["software"] == []
    assert {port["port"] for rule in egress["autoscaled"] for port in rule["ports"]} == {443, 53}


def test_metrics_are_never_at_the_service_that_leads_outside() -> None:
    services = {
        document["metadata"]["name"]: [port["name"] for port in document["spec"]["ports"]]
        for document in render("-f", EVERYTHING)
        if document["kind"] == "Service"
    }
    assert services == {"fpga-resnet50-pynq": ["grpc", "http"], "fpga-resnet50-pynq-pods": ["grpc", "metrics"]}


def test_the_collector_may_be_called() -> None:
    ports = {
        url: [
            port["port"]
            for rule in of_kind(render(*IMAGE, "--set", f"traces.otlp={url}"), "NetworkPolicy")["spec"]["egress"]
            for port in rule["ports"]
        ]
        for url in ("http://collector:4318", "https://10.0.0.1/v1/traces", "http://10.0.0.1")
    }
    assert [numbers[0] for numbers in ports.values()] == [4318, 443, 80]
    assert all(53 in numbers for numbers in ports.values())


def test_rules_and_dashboard_are_those_of_the_monitoring(tmp_path: Path) -> None:
    """In a packaged chart too, whose files are no links any more."""
    assert run("helm", "package", CHART, "--destination", tmp_path).returncode == 0
    (package,) = tmp_path.glob("*.tgz")
    done = run("helm", "template", "fpga", package, "--namespace", NAMESPACE, "-f", EVERYTHING)
    assert done.stdout == template("-f", EVERYTHING).stdout
    rendered = [document for document in yaml.safe_load_all(done.stdout) if document]
    monitoring = DEPLOY / "monitoring"
    assert of_kind(rendered, "PrometheusRule")["spec"] == yaml.safe_load((monitoring / "rules.yml").read_text())
    dashboard = of_kind(rendered, "ConfigMap")
    assert list(dashboard["data"].values()) == [(monitoring / "grafana-dashboard.json").read_text()]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_what_is_added_to_a_pod_is_in_it() -> None:
    rendered = render("-f", EVERYTHING)
    template = of_kind(rendered, "Deployment")["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == template["metadata"]["annotations"]["team"] == "vision"
    assert template["spec"]["serviceAccountName"] == of_kind(rendered, "ServiceAccount")["metadata"]["name"] == "models"
    assert template["spec"]["priorityClassName"] == "inference"
    assert container(rendered)["args"][-1] == "--option=--log-verbose=1"
    assert "--otlp=http://collector.observability:4318" in container(rendered)["args"]
    assert {"name": "AWS_DEFAULT_REGION", "value": "eu-central-1"} in container(rendered)["env"]
    assert template["spec"]["volumes"][-1]["name"] == container(rendered)["volumeMounts"][-1]["name"] == "certificates"


def test_a_card_can_be_claimed() -> None:
    rendered = render(*CLAIMS)
    (request,) = of_kind(rendered, "ResourceClaimTemplate")["spec"]["spec"]["devices"]["requests"]
    assert (request["exactly"]["deviceClassName"], request["exactly"]["count"]) == ("u250.example.com", 1)
    (claim,) = of_kind(rendered, "Deployment")["spec"]["template"]["spec"]["resourceClaims"]
    assert claim["resourceClaimTemplateName"] == of_kind(rendered, "ResourceClaimTemplate")["metadata"]["name"]
    assert container(rendered)["resources"]["claims"] == [{"name": claim["name"]}]
    assert not any("/" in name for name in container(rendered)["resources"]["limits"])


@pytest.mark.parametrize("values", ["software", "tls"])
def test_helms_test_does_not_serve(values: str) -> None:
    pod = of_kind(render("-f", NAMED[values]), "Pod")
    service = next(d for d in render("-f", NAMED[values]) if d["kind"] == "Service")
    assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    security = pod["spec"]["containers"][0]["securityContext"]
    assert security == container(render("-f", NAMED[values]))["securityContext"]
    folder = "/etc/resnet50-pynq/tls"
    assert (folder in pod["spec"]["containers"][0]["args"]) == (values == "tls")


@pytest.mark.server
def test_helms_test_passes(server: Server, sample: Path) -> None:
    """Its program, against a server on this machine."""
    (pod,) = (d for d in render(*IMAGE) if d["kind"] == "Pod")
    program, address = pod["spec"]["containers"][0]["args"]
    assert address == "fpga-resnet50-pynq:8001"
    program = program.replace("/opt/resnet50-pynq/sample", str(sample))
    done = subprocess.run([sys.executable, "-c", program, server.grpc_url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "LOGITS (1000,)" in done.stdout


def test_the_readme_is_what_its_program_writes() -> None:
    written = runpy.run_path(str(CHART.parent / "readme.py"))["build"]()
    assert written == (CHART / "README.md").read_text(), "run deploy/helm/readme.py"
    assert len(re.findall(r"^\| `", written, re.MULTILINE)) > 60


def test_kserve_leaves_http_closed() -> None:
    (served,) = yaml.safe_load((DEPLOY / "kserve" / "serving-runtime.yaml").read_text())["spec"]["containers"]
    assert "--http-host=127.0.0.1" in served["args"]
    assert [(port["name"], f"--grpc-port={port['containerPort']}" in served["args"]) for port in served["ports"]] == [
        ("h2c", True)
    ]


def test_a_card_comes_from_the_device_plugin() -> None:
    rendered = render("-f", NAMED["u250"], "--set", "card.count=2,card.name=xrt:0\\,xrt:1,card.groups={109}")
    resources = container(rendered)["resources"]
    (resource,) = (name for name in resources["limits"] if "/" in name)
    assert resource.startswith("xilinx.com/fpga-xilinx_u250_xdma_201830_2-")
    assert resources["limits"][resource] == resources["requests"][resource] == 2
    assert resources["limits"]["memory"]
    assert "--card=xrt:0,xrt:1" in container(rendered)["args"]
    assert of_kind(rendered, "Deployment")["spec"]["template"]["spec"]["securityContext"]["supplementalGroups"] == [109]
    assert not any("xilinx" in name for name in container(render("-f", NAMED["software"]))["resources"]["limits"])


@pytest.mark.parametrize("source", [*VALUES, DEPLOY / "kserve" / "serving-runtime.yaml"], ids=lambda path: path.stem)
def test_the_command_takes_the_arguments(source: Path) -> None:
    if source in VALUES:
        given = ("--set", "parameters.resnet50.min_ready_cards=1") if source.stem != "autoscaled" else ()
        words = container(render("-f", source, *given))["args"]
    else:
        words = yaml.safe_load(source.read_text())["spec"]["containers"][0]["args"]
    args = build_parser().parse_args(words)
    assert args.host == "0.0.0.0"
    assert bool(args.model_repository) + bool(args.sample) + bool(args.xclbin and args.fcweights) == 1
    for model, name, _ in args.set:
        assert name in {parameter.name for parameter in {"resnet50": RESNET50, "preprocess": PREPROCESS}[model]}
    assert bool(args.tls_cert and args.tls_client_ca and args.admin_key_file) == (source.stem == "tls")


def test_autoscaling_asks_for_metrics_that_there_are() -> None:
    scaled = of_kind(render("-f", NAMED["autoscaled"]), "ScaledObject")["spec"]
    deployment = of_kind(render("-f", NAMED["autoscaled"]), "Deployment")
    assert "replicas" not in deployment["spec"]  # they are the autoscaler's now
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    queries = [trigger["metadata"]["query"] for trigger in scaled["triggers"]]
    ours = set(re.findall(r"resnet50_\w+(?=\{)", " ".join(queries)))
    assert ours
    assert ours <= set(FAMILIES)
    assert all(f'namespace="{NAMESPACE}",service="fpga-resnet50-pynq-pods"' in query for query in queries)


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool (Debian's package prometheus has it)")
def test_autoscaling_by_numbers(tmp_path: Path) -> None:
    """Two pods of two cards, 540 images/s in all, runs of 0.05 s, requests wait 0.2 s: 4 run times.

    In each pod 30 requests wait for the card, and 170 for the decoders. Rate and times are 0 where nobody calls.
    """
    cards = ("--set", "card.count=2,autoscaling.imagesPerCard=100")
    scaled = of_kind(render("-f", NAMED["autoscaled"], *cards), "ScaledObject")["spec"]
    images, queue, waiting = (trigger["metadata"]["query"] for trigger in scaled["triggers"])
    assert [float(trigger["metadata"]["threshold"]) for trigger in scaled["triggers"]] == [200, 2, 512]
    labels = f'{{namespace="{NAMESPACE}",service="fpga-resnet50-pynq-pods",model="%s",pod="%s"}}'
    rates = {  # a second, of each pod
        "resnet50_images_total": 270,
        "resnet50_kernel_seconds_sum": 0.45,
        "resnet50_kernel_seconds_count": 9,
        "nv_inference_request_success": 10,
        "nv_inference_queue_duration_us": 2e6,
    }

    def case(step: float, values: dict[str, float]) -> dict[str, object]:
        series = [
            {"series": name + labels % ("resnet50", pod), "values": f"0+{15 * rate * step}x40"}
            for name, rate in rates.items()
            for pod in "ab"
        ]
        series += [
            {"series": "nv_inference_pending_request_count" + labels % (model, pod), "values": f"{length}x40"}
            for model, length in {"resnet50": 30, "preprocess": 20, "classify": 200}.items()
            for pod in "ab"
        ]
        series += [
            {"series": "resnet50_decode_waiting_requests" + labels % ("preprocess", pod), "values": "150x40"}
            for pod in "ab"
        ]
        expected = [
            {"expr": query, "eval_time": "8m", "exp_samples": [{"labels": "{}", "value": value}]}
            for query, value in values.items()
        ]
        return {"interval": "15s", "input_series": series, "promql_expr_test": expected}

    called = {f"round({images}, 1e-6)": 540, f"round({queue}, 1e-6)": 4, waiting: 400}
    tests = [case(1, called), case(0, {images: 0, queue: 0})]
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"tests": tests, "evaluation_interval": "15s"}))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "test.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted((DEPLOY / "docker").glob("Dockerfile.*")), ids=lambda path: path.name)
def test_hadolint(path: Path) -> None:
    done = run("hadolint", path)
    assert done.returncode == 0, done.stdout


def test_images_copy_what_there_is() -> None:
    for path in (DEPLOY / "docker").glob("Dockerfile.*"):
        text = path.read_text()
        sources = re.findall(r"^COPY (?:--chmod=\d+ )?(?!--from)(\S+) ", text, re.MULTILINE)
        assert len(sources) == 5
        for source in sources:
            assert (DEPLOY.parent / source).exists(), source
        words = yaml.safe_load(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])
        assert build_parser().parse_args(words).host == "0.0.0.0"
