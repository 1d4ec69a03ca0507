"""Where the engine's time goes: each layer's share, its speed, and the fraction of what the CPU can do at most."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from resnet50_triton.network.engine import open_engine
from resnet50_triton.network.parameters import BLOCKS, Network, convs

ROUNDS = 30
STEM_MACS = 112 * 112 * 64 * 147
FC_MACS = 1000 * 2048
# The instruction that bounds a layer, by kernels: for the binary convolutions, and for conv0.
BOUNDS = {"avx512": ("avx512 lookup", "avx512 vpdpbusd"), "avx2": ("avx2 lookup", "avx2 vpmaddwd")}


def measure_peaks() -> dict[str, float]:
    """1e9 multiply-adds a second of one thread, by instruction; empty on a CPU without AVX2."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peaks"
        source = Path(__file__).with_name("peaks.cpp")
        try:
            subprocess.run(["g++", "-O2", "-std=c++17", str(source), "-o", str(program)], check=True)
            return dict(json.loads(subprocess.run([program], check=True, capture_output=True).stdout))
        except subprocess.CalledProcessError:
            return {}


def macs() -> dict[str, int]:
    """Multiply-adds of each step of `profile`, by name; those without any are left out."""
    result = {"stem": STEM_MACS, "fc": FC_MACS}
    for block in BLOCKS:
        for conv in convs(block):
            result[conv.name] = block.size_out**2 * conv.cin * conv.cout * conv.ksize**2
    return result


def profile(network: Network, isa: str) -> dict[str, Any]:
    """One thread, one image at a time; of several rounds the median of each step."""
    loaded: Any = open_engine(network, 1, isa)
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (1, 224, 224, 3), np.uint8)
    weights = rng.integers(-128, 128, (1000, 2048), np.int8)
    peaks = measure_peaks()
    rounds = [loaded.profile(pixels, weights) for _ in range(ROUNDS)]
    seconds = {step: float(np.median([r[step] for r in rounds])) for step in rounds[0]}
    total = sum(seconds.values())
    work = macs()
    steps = []
    for step, time_s in seconds.items():
        row: dict[str, Any] = {"step": step, "ms": round(time_s * 1e3, 4), "share": round(time_s / total, 4)}
        if step in work:
            row["gmac_per_s"] = round(work[step] / time_s * 1e-9, 1)
            bound = BOUNDS.get(isa, ("", ""))[step == "stem"]
            if bound in peaks and step != "fc":  # fc waits for memory
                row["of_peak"] = round(row["gmac_per_s"] / peaks[bound], 3)
        steps.append(row)
    return {"isa": isa, "threads": 1, "total_ms": round(total * 1e3, 3), "peaks_gmac_per_s": peaks, "steps": steps}


def show(table: dict[str, Any]) -> None:
    print(f"\n{table['isa']}, one thread, one image at a time: {table['total_ms']} ms")
    print("peaks (1e9 multiply-adds/s): " + ", ".join(f"{k} {v}" for k, v in table["peaks_gmac_per_s"].items()))
    print(f"{'step':14} {'ms':>8} {'share':>7} {'GMAC/s':>8} {'of peak':>8}")
    for row in table["steps"]:
        speed = f"{row['gmac_per_s']:8.1f}" if "gmac_per_s" in row else " " * 8
        peak = f"{row['of_peak']:8.1%}" if "of_peak" in row else ""
        print(f"{row['step']:14} {row['ms']:8.3f} {row['share']:7.1%} {speed} {peak}")
