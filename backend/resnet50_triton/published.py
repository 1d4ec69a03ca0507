"""What was published of the accelerator on an Alveo U250 (Xilinx/ResNet50-PYNQ); nothing here was measured by us."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LABEL = "a real Alveo U250, the kernel alone, by https://github.com/Xilinx/ResNet50-PYNQ"


@dataclass(frozen=True)
class PublishedRow:
    """The kernel alone at one batch size: no data moved. The board takes its power from both 12 V inputs."""

    batch_size: int
    images_per_s: float
    latency_s: float
    fpga_w: float
    board_w: float


ROWS = (
    PublishedRow(1, 527, 1.9e-3, 16.6, 29.5),
    PublishedRow(10, 1895, 5.3e-3, 33.7, 50.4),
    PublishedRow(100, 2605, 38.4e-3, 50.6, 68.8),
    PublishedRow(1000, 2703, 369.9e-3, 54.6, 70.8),
)
# A line through the times: a run of b images takes RUN_S + IMAGE_S * b.
RUN_S = 1.6e-3
IMAGE_S = 0.368e-3

_LOG_BATCH_SIZES = np.log([row.batch_size for row in ROWS])
_FLOWS = [IMAGE_S * row.batch_size / (RUN_S + IMAGE_S * row.batch_size) for row in ROWS]
_BOARD_SLOPE_W, _BOARD_IDLE_W = (float(x) for x in np.polyfit(_FLOWS, [row.board_w for row in ROWS], 1))


def row_of(batch_size: int) -> PublishedRow | None:
    """The row of a batch size, where there is one."""
    return next((row for row in ROWS if row.batch_size == batch_size), None)


def fpga_w(batch_size: int) -> float:
    """The FPGA's power at a batch size; between the rows by the logarithm of the size, beyond them the nearest's."""
    return float(np.interp(np.log(batch_size), _LOG_BATCH_SIZES, [row.fpga_w for row in ROWS]))


def board_w(batch_size: int) -> float:
    """The board's power at a batch size, as `fpga_w`."""
    return float(np.interp(np.log(batch_size), _LOG_BATCH_SIZES, [row.board_w for row in ROWS]))


def board_w_of_share(share: float) -> float:
    """The board's power where images flow through the pipeline for this share of the time, 0..1.

    A straight line through the published figures, which it misses by at most 3.9 W; what it says of an idle card is an
    extrapolation.
    """
    return _BOARD_IDLE_W + _BOARD_SLOPE_W * share
