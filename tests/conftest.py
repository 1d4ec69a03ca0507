"""Fixtures that every group of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test material that is not part of the project (trained parameters, golden vectors, photos)."""
    path = Path(os.environ.get("RESNET50_SHARED", ROOT.parent / "shared"))
    if not (path / "data" / "golden.npz").is_file():
        pytest.skip(f"no test material at {path} (set RESNET50_SHARED to a folder with data/ and photos/)")
    return path


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """golden.npz, resnet50_w1a2_v1.npz, fcweights.csv, imagenet_classes.txt"""
    return shared / "data"


@pytest.fixture(scope="session")
def shared_photos(shared: Path) -> Path:
    """50 photos and labels.txt"""
    return shared / "photos"
