"""Triton's own metrics as the sink of ours. Only importable in Triton's stub."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from ..network.engine import end_with_parent
from ..runtime.metrics import FAMILIES, Labels


class TritonMetrics:
    """The sink. The families are kept: Triton drops their metrics with them.

    While a model is reloaded, its old and its new version share the server's metrics. A gauge is therefore set again
    and again: what the old version has left there last does not stay.
    """

    def __init__(self, model: str, version: str) -> None:
        self._common = {"model": model, "version": version}
        self._families: dict[str, Any] = {}
        self._metrics: dict[tuple[str, Labels], tuple[Any, float]] = {}
        # Triton 2.51 waits for ever, with Python's lock, where the server is killed that a metric is published to; its
        # own end of a process without a server then waits too, and the process would keep the card.
        end_with_parent()

    def put(self, name: str, labels: Labels, value: float) -> None:
        """Bring one metric up to date."""
        metric, last = self._metrics.get((name, labels), (None, 0.0))
        if metric is None:
            metric = self._family(name).Metric(labels={**self._common, **dict(labels)})
        if FAMILIES[name].kind == "gauge":
            metric.set(value)
        elif value != last:  # what has not changed costs nothing
            metric.increment(value - last)
        self._metrics[name, labels] = metric, value

    def _family(self, name: str) -> Any:
        if name not in self._families:
            family = FAMILIES[name]
            kind = pb_utils.MetricFamily.COUNTER if family.kind == "counter" else pb_utils.MetricFamily.GAUGE
            self._families[name] = pb_utils.MetricFamily(name=name, description=family.help, kind=kind)
        return self._families[name]
