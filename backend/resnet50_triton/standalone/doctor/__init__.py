"""Checks whether everything is here that serving needs; each check that fails says how to fix it.

A check is a function from `Wanted` to findings; `CHECKS` lists them in the order in which they build on each other.
They import what they look at only when they run: a broken installation is what this is for.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ...errors import Resnet50Error
from . import card, installation, repository, server
from .finding import FAILED, Finding, Wanted

CHECKS: tuple[tuple[str, Callable[[Wanted], Iterable[Finding]]], ...] = (
    ("python", installation.python),
    ("packages", installation.packages),
    ("pynq", installation.pynq),
    ("engine", installation.engine),
    ("xrt", card.xrt),
    ("permissions", card.permissions),
    ("card", card.card),
    ("weights", card.weights),
    ("libpython", server.libpython),
    ("tritonserver", server.tritonserver),
    ("models", repository.models),
    ("limits", server.limits),
    ("temporary files", server.temporary_files),
    ("shared memory", server.shared_memory),
    ("server", server.reachable),
)


def examine(wanted: Wanted) -> list[Finding]:
    """Run every check; none of them ends the others."""
    findings: list[Finding] = []
    with contextlib.suppress(Resnet50Error):  # `models` reports it
        wanted = repository.completed(wanted)
    for name, check in CHECKS:
        try:
            findings += check(wanted)
        except Resnet50Error as error:
            findings.append(Finding.of_error(name, error))
        except Exception as error:  # a check that breaks has found something, if not what it looked for
            findings.append(
                Finding(name, FAILED, f"{type(error).__name__}: {error}", "reinstall both packages: make clean setup")
            )
    return findings


def passed(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed; warnings do not count."""
    return all(finding.status != FAILED for finding in findings)


def as_text(findings: Sequence[Finding]) -> str:
    """A line for each finding, its fix below it, and a summary."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:7}  {finding.check:{width}}  {finding.found}")
        if finding.fix:
            lines.append(f"{'':7}  {'':{width}}  fix: {finding.fix}")
    counts = Counter(finding.status for finding in findings)
    lines.append(", ".join(f"{counts[status]} {status}" for status in ("ok", "note", "warning", "failed")))
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    """{"ok": true, "findings": [{"check": ..., "status": ..., "found": ..., "fix": ... or null}, ...]}"""
    return json.dumps({"ok": passed(findings), "findings": [vars(finding) for finding in findings]}, indent=2)
