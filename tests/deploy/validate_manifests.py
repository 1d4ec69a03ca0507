"""Holds Kubernetes manifests to their schemas, without a cluster: a JSON list of them in YAML on stdin, JSON out.

Runs in the environment that `make kubernetes-tools` makes. Kubernetes' own kinds are held to its JSON schemas (strict:
an unknown field is an error), those of KEDA and of the Prometheus operator to models generated from their CRDs, those
of KServe to the field tables of its SDK, with the pod in them as Kubernetes' own.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pydantic
import yaml

Document = dict[str, Any]
KUBERNETES = ("1.27", "1.37")  # the oldest that the chart says it is for, and the newest that there are schemas of
CLAIMS = "1.37"  # of devices: their kinds and a pod's field for them differed in releases that had them behind a gate
KSERVE = Path(sys.prefix) / "kserve" / "models"
POD_PARTS = {"list[V1Container]": "containers", "list[V1Volume]": "volumes"}


def validate(document: Document) -> Iterator[str]:
    """What is wrong with a document. Raises KeyError for a kind without a schema."""
    group = document["apiVersion"].rpartition("/")[0]
    if group == "keda.sh":
        from cloudcoil.models.keda.v1alpha1 import ScaledObject

        yield from by_model(ScaledObject, document)
    elif group == "monitoring.coreos.com":
        from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

        models = {"PrometheusRule": PrometheusRule, "ServiceMonitor": ServiceMonitor}
        yield from by_model(models[document["kind"]], document)
    elif group == "serving.kserve.io":
        pod: Document = {"containers": [], "volumes": []}
        version = document["apiVersion"].rpartition("/")[2].capitalize()
        yield from by_field_table(f"{version}{document['kind']}", document, document["kind"], pod)
        if pod["containers"]:
            yield from by_kubernetes({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod})
    elif "." not in group or (group.endswith(".k8s.io") and not group.startswith("gateway.")):
        yield from by_kubernetes(document)
    else:
        raise KeyError(group)


def by_kubernetes(document: Document) -> Iterator[str]:
    pod = document.get("spec", {}).get("template", {}).get("spec", {})
    for version in (CLAIMS,) if "resourceClaims" in pod or document["kind"] == "ResourceClaimTemplate" else KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = "/".join(map(str, error.path))
            yield f"{path}: {error.message[:300]} (Kubernetes {version})"


def by_model(model: type[pydantic.BaseModel], document: Document) -> Iterator[str]:
    try:
        model.model_validate(document, extra="forbid")
    except pydantic.ValidationError as error:
        for problem in error.errors():
            yield f"{'/'.join(map(str, problem['loc']))}: {problem['msg']}"


def by_field_table(kind: str, value: Any, path: str, pod: Document) -> Iterator[str]:
    """Names and simple types by the SDK's tables; containers and volumes are put into `pod`."""
    if kind in POD_PARTS:
        pod[POD_PARTS[kind]] += value
        return
    if kind.startswith("list["):
        if not isinstance(value, list):
            yield f"{path}: not a list"
            return
        for i, item in enumerate(value):
            yield from by_field_table(kind[5:-1], item, f"{path}/{i}", pod)
        return
    simple = {"str": str, "int": int, "bool": bool}.get(kind)
    if simple and type(value) is not simple:
        yield f"{path}: {value!r} is not of type {kind}"
    fields = field_table(kind)
    if fields is None:
        return
    for name, item in value.items():
        if name not in fields:
            yield f"{path}: unknown field {name}"
        else:
            yield from by_field_table(fields[name], item, f"{path}/{name}", pod)


def field_table(kind: str) -> dict[str, str] | None:
    """The names and types of a KServe type's fields, out of its module's source; None for one of Kubernetes'."""
    stem = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind).lstrip("_")
    source = KSERVE / f"{stem}.py"
    if not source.is_file():
        return None
    tables = {}
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and isinstance(node.targets[0], ast.Name):
            tables[node.targets[0].id] = ast.literal_eval(node.value)
    return {tables["attribute_map"][name]: kind for name, kind in tables["openapi_types"].items()}


def main() -> None:
    """Print, for each document, a list of what is wrong, or null where there is no schema for it."""
    results: list[list[str] | None] = []
    for text in json.load(sys.stdin):
        document = yaml.safe_load(text)
        name = f"{document['kind']} {document['metadata']['name']}"
        try:
            results.append([f"{name}: {problem}" for problem in validate(document)])
        except KeyError:
            results.append(None)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
