"""Presets: named sets of parameters, the original project's recommendations. They override config.pbtxt for these
parameters only."""

from __future__ import annotations

from collections.abc import Mapping

# By preset and model: `--max_bs` and `--preprocess_workers` of the original application's README.
PRESETS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "latency": {"resnet50": {"kernel_batch_size": "1"}, "preprocess": {"decode_workers": "4"}},
    "throughput": {"resnet50": {"kernel_batch_size": "100"}, "preprocess": {"decode_workers": "16"}},
}
