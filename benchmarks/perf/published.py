"""What others published of ResNet-50 on an Alveo U250, to be put beside ours; none of it was measured here."""

from __future__ import annotations

from dataclasses import dataclass

from resnet50_triton.published import ROWS


@dataclass(frozen=True)
class Figure:
    """One published line."""

    what: str
    images_per_s: float
    p50_ms: float
    p99_ms: float | None  # None: not published
    label: str  # what kind of figure it is


_KERNEL = "published, a real U250, mean time of the kernel alone: no data moved, no server"
_EXPECTED = "published as expected, a real U250, the original's own application, no server"
_AMD = "published, a real U250 with another network (INT8), LoadGen SingleStream for a shorter time than MLPerf's rules"

XILINX = "https://github.com/Xilinx/ResNet50-PYNQ"
AMD = "https://xilinx.github.io/inference-server/"
SOURCES = f"[Xilinx/ResNet50-PYNQ]({XILINX}) and [AMD Inference Server]({AMD}) (its chart of ResNet50 with Vitis AI)"

FIGURES = (
    *(
        Figure(f"ResNet50-PYNQ, kernel, batch {row.batch_size}", row.images_per_s, 1e3 * row.latency_s, None, _KERNEL)
        for row in ROWS
    ),
    Figure("ResNet50-PYNQ, application set for latency", 500, 2, None, _EXPECTED),
    Figure("ResNet50-PYNQ, application set for throughput", 2000, 50, None, _EXPECTED),
    Figure("AMD Inference Server, gRPC, one image alone", 113.9, 8.78, 10.43, _AMD),
    Figure("AMD Inference Server, HTTP, one image alone", 2.5, 400.2, 426.6, _AMD),
)
