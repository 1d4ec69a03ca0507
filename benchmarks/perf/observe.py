"""Where the time of the requests went and what batches they made, from the server's metrics before and after."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

PUBLISHED_S = 1.2  # the kernel model brings its metrics up to date once a second
_SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Metrics = Mapping[tuple[str, str, str], float]  # by name, model and the bucket's limit


def read_metrics(url: str) -> Metrics:
    """The counters of a server; those of several cards and versions added up."""
    with urllib.request.urlopen(f"http://{url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[tuple[str, str, str], float] = defaultdict(float)
    for name, labels, value in _SAMPLE.findall(text):
        given = dict(_LABEL.findall(labels))
        found[name, given.get("model", ""), given.get("le", "")] += float(value)
    return found


class Observer:
    """Tells what a server did since it was last asked.

    Args:
        url: of its metrics.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._before = self._first()
        self._idle_since_s = 0.0

    def _first(self) -> Metrics:
        """Triton listens for this a moment later than it says that it is ready."""
        for _ in range(50):
            try:
                return read_metrics(self._url)
            except urllib.error.URLError:
                time.sleep(0.1)
        return read_metrics(self._url)

    def rest(self) -> None:
        """The load has ended."""
        self._idle_since_s = time.monotonic()

    def poll(self) -> Counted:
        """What was counted since the last look; waits until all of it is published."""
        time.sleep(max(0.0, self._idle_since_s + PUBLISHED_S - time.monotonic()))
        now = read_metrics(self._url)
        counted = Counted({key: value - self._before.get(key, 0.0) for key, value in now.items()})
        self._before = now
        return counted


class Counted:
    """What a server counted during a load."""

    def __init__(self, values: Metrics) -> None:
        self._values = values

    def sum(self, name: str, model: str = "resnet50") -> float:
        """How much more a counter is."""
        return self._values.get((name, model, ""), 0.0)

    def mean_s(self, name: str, model: str = "resnet50") -> float:
        """Mean of one of our models' times: "copy", "kernel" or "total"; "decode_wait" or "decode" of `preprocess`."""
        count = self.sum(f"resnet50_{name}_seconds_count", model)
        return self.sum(f"resnet50_{name}_seconds_sum", model) / (count or 1)

    def triton_s(self, what: str, model: str) -> float:
        """Mean of a duration that Triton counts itself; it counts requests whose answer comes later, too."""
        requests = self.sum("nv_inference_request_success", model)
        return self.sum(f"nv_inference_{what}_duration_us", model) / 1e6 / (requests or 1)

    def stages_ms(self, latency_s: float, encoded: bool) -> dict[str, float]:
        """The mean time of a request by stage, in milliseconds, in the order of its way.

        Args:
            latency_s: the client's mean.
            encoded: whether requests went through `preprocess`.
        """
        stages_s = {}
        if encoded:
            in_model_s = self.mean_s("decode_wait", "preprocess")
            stages_s["wait for a decoder"] = self.triton_s("queue", "preprocess") + in_model_s
            stages_s["decode"] = self.mean_s("decode", "preprocess")
        stages_s["wait for a batch"] = self.triton_s("queue", "resnet50")
        stages_s["copy to the card"] = self.mean_s("copy")
        stages_s["kernel"] = self.mean_s("kernel")
        stages_s["wait, hand over"] = max(0.0, self.mean_s("total") - stages_s["copy to the card"] - stages_s["kernel"])
        outside_s = max(0.0, latency_s - sum(stages_s.values()))
        return {name: round(1e3 * s, 3) for name, s in {"client and transport": outside_s, **stages_s}.items()}

    def mean_batch(self) -> float:
        """Images in a run of the card."""
        runs = self.sum("resnet50_batch_size_count")
        return self.sum("resnet50_batch_size_sum") / runs if runs else 0.0

    def batches(self) -> dict[str, int]:
        """Runs by size: the key is the largest size of a bucket, as 8 for 5 to 8."""
        rows = [(le, v) for (name, _, le), v in self._values.items() if name == "resnet50_batch_size_bucket"]
        sizes, before = {}, 0.0
        for limit, total in sorted(rows, key=lambda row: float(row[0].replace("+Inf", "inf"))):
            if total > before:
                sizes[limit] = round(total - before)
            before = total
        return sizes


def add_batches(total: dict[str, int], more: Mapping[str, int]) -> dict[str, Any]:
    """Counts of two looks together."""
    return {limit: total.get(limit, 0) + more.get(limit, 0) for limit in {**total, **more}}
