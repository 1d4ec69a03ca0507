"""The targets of the figures, and whether a result meets them: met, missed, or not measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.perf.cases import FULL, GRPC, HTTP, PIXELS, SHARED, TIMING

RATE_SHARE = 0.95  # of the card's own rate
ADDED_MS = 1.0  # beyond the card's own time
MET, MISSED, NONE, NOT_MEASURED = "met", "missed", "none", "not measured"


def find(result: Mapping[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    """The rows of a result whose case is as given: find(result, transport="gRPC", batch=1)."""
    return [row for row in result["rows"] if all(row[key] == value for key, value in wanted.items())]


def median(row: Mapping[str, Any], figure: str) -> float:
    """The median over the rounds."""
    return float(statistics.median(row[figure]))


def spread(values: Sequence[float]) -> str:
    """Median, and the lowest and highest: "103 (99-105)"."""
    digits = 0 if max(values) >= 100 else 1 if max(values) >= 10 else 2
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def judge(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each target beside its figure. It holds for the first transport of each kind; the others are for comparison."""
    card = result["cards"]["timing"]
    card_ms = 1e3 * (card["run_s"] + card["image_s"])
    card_rate = FULL / (card["run_s"] + FULL * card["image_s"])
    checks = []
    for transport in (SHARED, GRPC, HTTP):
        rows = find(result, server=TIMING.name, input=PIXELS, transport=transport, batch=FULL)
        rate = max((median(row, "images_per_s") for row in rows), default=None)
        least = RATE_SHARE * card_rate
        checks.append(
            _check(
                f"timing card, PIXELS over {transport}, batch {FULL}",
                None if rate is None else f"{rate:.0f} images/s, {rate / card_rate:.1%} of the card's own",
                f"at least {least:.0f} images/s ({RATE_SHARE:.0%} of {card_rate:.0f})",
                rate is not None and rate >= least,
                binding=transport == SHARED,
            )
        )
    for transport in (GRPC, HTTP, SHARED):
        rows = find(result, server=TIMING.name, input=PIXELS, transport=transport, batch=1, concurrency=1)
        latency_ms = median(rows[0], "p50_ms") if rows else None
        checks.append(
            _check(
                f"timing card, PIXELS over {transport}, one image alone",
                None if latency_ms is None else f"{latency_ms:.2f} ms median, {latency_ms - card_ms:+.2f} ms",
                f"at most {card_ms + ADDED_MS:.2f} ms (the card's {card_ms:.2f} ms and {ADDED_MS:g} ms)",
                latency_ms is not None and latency_ms <= card_ms + ADDED_MS,
                binding=transport == GRPC,
            )
        )
    return checks


def _check(what: str, figure: str | None, target: str, holds: bool, *, binding: bool) -> dict[str, str]:
    verdict = NOT_MEASURED if figure is None else NONE if not binding else MET if holds else MISSED
    return {"what": what, "figure": figure or "-", "target": target if binding else "none", "verdict": verdict}
