"""What the tests of deploy/ have in common: the programs that `make kubernetes-tools` gets, and the chart."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "resnet50-pynq"
VALUES = sorted((DEPLOY / "helm" / "values").glob("*.yaml"))
PROGRAMS = ROOT / "build" / "kubernetes" / "bin"
NAMESPACE = "models"

needs_tools = pytest.mark.skipif(
    not (PROGRAMS.parent / ".stamp").is_file(), reason="no helm and no schemas: make kubernetes-tools"
)
Document = dict[str, Any]


def run(program: str, *words: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of the programs."""
    command = [str(PROGRAMS / program), *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


@functools.cache
def template(*words: object) -> subprocess.CompletedProcess[str]:
    """Render the chart as release "fpga"."""
    return run("helm", "template", "fpga", CHART, "--namespace", NAMESPACE, *words)


def render(*words: object) -> list[Document]:
    """The chart's manifests."""
    done = template(*words)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents: list[Document], kind: str) -> Document:
    """The one manifest of a kind."""
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def container(documents: list[Document]) -> Document:
    """The chart's container."""
    (found,) = of_kind(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def split(manifests: str) -> list[str]:
    """The documents of a YAML stream, as text."""
    return [text for text in re.split(r"^---$", manifests, flags=re.MULTILINE) if "kind:" in text]


def validate(manifests: list[str]) -> list[list[str] | None]:
    """Hold documents to their schemas: what is wrong with each; None where there is no schema."""
    done = run("python", Path(__file__).with_name("validate_manifests.py"), stdin=json.dumps(manifests))
    assert done.returncode == 0, done.stderr
    result: list[list[str] | None] = json.loads(done.stdout)
    return result
