"""The files that the benchmarks of decoding use."""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


def add_argument(parser: argparse.ArgumentParser) -> None:
    """--photos, with the trained network's photos as default, or else the sample's."""
    shared, sample = SHARED / "photos", ROOT / "build" / "sample" / "images"
    parser.add_argument("--photos", type=Path, default=shared if shared.is_dir() else sample, metavar="FOLDER")


def read(folder: Path) -> list[bytes]:
    """All JPEGs of the folder."""
    files = [path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg")]
    if not files:
        raise SystemExit(f"no JPEGs in {folder}: name a folder by --photos, or run 'make sample'")
    return files
