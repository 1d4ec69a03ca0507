"""Checks Python, the packages, PYNQ and the engine."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from .finding import FAILED, NOTE, OK, WARNING, Finding, Wanted

PACKAGE = "resnet50-pynq-triton"
PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))


def python(_: Wanted, version: tuple[int, ...] = sys.version_info[:3]) -> Iterator[Finding]:
    """Whether the packages and the bundled server run on this Python."""
    found = f"{'.'.join(map(str, version))} at {sys.executable}, {platform.machine()}"
    if version[:2] in PYTHONS:
        yield Finding("python", OK, found)
    else:
        yield Finding(
            "python",
            FAILED,
            f"{found}: 3.10 to 3.13 is needed, of which the bundled tritonserver has stubs",
            "make clean setup PYTHON=/path/to/python3.12",
        )


def packages(_: Wanted) -> Iterator[Finding]:
    """Whether what is installed is what this package asks for."""
    wrong = [finding for text in metadata.requires(PACKAGE) or () for finding in _check(Requirement(text))]
    yield from wrong
    if not wrong:
        versions = [f"{PACKAGE} {metadata.version(PACKAGE)}", *_versions("resnet50-client", "numpy", "tritonclient")]
        yield Finding("packages", OK, ", ".join(versions))


def _check(requirement: Requirement) -> Iterator[Finding]:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return  # an extra
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        found = "is not installed"
    else:
        if requirement.specifier.contains(version, prereleases=True):
            return
        found = f"{version} is installed"
    yield Finding(
        "packages",
        FAILED,
        f"{requirement.name} {found}, {PACKAGE} needs {requirement.name}{requirement.specifier}",
        f"pip install '{requirement.name}{requirement.specifier}'",
    )


def _versions(*names: str) -> Iterator[str]:
    for name in names:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"no {name}"


def pynq(_: Wanted) -> Iterator[Finding]:
    """Whether PYNQ can be imported; XRT's library is loaded with it where XILINX_XRT is set."""
    try:
        importlib.import_module("pynq")
    except Exception as error:  # whatever it may be: PYNQ runs code of several packages and of XRT when imported
        yield Finding(
            "pynq",
            FAILED,
            f"pynq cannot be imported: {type(error).__name__}: {error}",
            "correct XILINX_XRT, or unset it to use a software card"
            if isinstance(error, OSError)
            else f"pip install --force-reinstall {PACKAGE}",
        )
    else:
        yield Finding("pynq", OK, f"pynq {metadata.version('pynq')} can be imported")


def engine(_: Wanted) -> Iterator[Finding]:
    """Whether the software card computes with the native engine."""
    from ...network.engine import ENVIRONMENT, HOW_TO_BUILD, choose, engines

    chosen, available = choose(), engines()
    if chosen != "reference":
        slower = f", though {available[0]} is faster" if chosen != available[0] else ""
        yield Finding("engine", NOTE if slower else OK, f"native ({chosen}){slower}")
    elif available != ("reference",):
        found = f"the slow reference, because of {ENVIRONMENT}=reference"
        yield Finding("engine", WARNING, found, f"unset {ENVIRONMENT}")
    else:
        yield Finding("engine", WARNING, "the slow reference: the native engine was not built", HOW_TO_BUILD)
