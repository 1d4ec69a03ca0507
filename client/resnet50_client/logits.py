"""All logits of a run as one array, for cleanlab and the like."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from resnet50_client.database import unpack
from resnet50_client.labels import CLASSES
from resnet50_client.results import Replacement, Results

SUFFIX = ".npy"


def files_beside(path: Path) -> Path:
    """The file that names the rows of the array in another."""
    return path.with_suffix(".files.csv")


def write_logits(results: Results, path: Path) -> None:
    """Write the logits of every image that has an answer, in the order of the images; each file as a whole.

    Args:
        results: of a run that keeps logits.
        path: .npy, float32 (N, 1000): the accelerator's accumulators. Beside it, in `files_beside(path)`, file and
            label of each row; several right classes have spaces between them.

    Raises:
        OSError: the disk is full, or such.
    """
    kept = "FROM image JOIN answer USING (position) WHERE logits IS NOT NULL"
    (count,) = results.db.execute(f"SELECT COUNT(*) {kept}").fetchone()
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, CLASSES)}
    with Replacement(files_beside(path)) as names, Replacement(path) as array:
        writer = csv.writer(names)
        writer.writerow(("file", "label"))
        np.lib.format.write_array_header_1_0(array.buffer, header)  # type: ignore[no-untyped-call]
        for file, label, logits in results.db.execute(f"SELECT file, labels, logits {kept} ORDER BY position"):
            writer.writerow((unpack(file), label))
            array.buffer.write(logits)
