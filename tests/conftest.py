"""Fixtures that every group of tests shares."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from resnet50_triton.server.deploy import Deployment
from resnet50_triton.server.process import Server
from servers import running

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What is missing is said once, with the number of tests that it skips, and not for each place in each file."""
    report = yield
    if report.skipped and report.when == "setup" and isinstance(report.longrepr, tuple):
        report.longrepr = (str(ROOT / "tests"), None, report.longrepr[2])
    return report


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


@pytest.fixture(scope="session")
def sample() -> Path:
    """The sample deployment: card.xclbin, fcweights.csv, labels.txt, images/ (built where absent)."""
    from resnet50_triton.sample.build import build_sample

    directory = ROOT / "build" / "sample"
    build_sample(directory)
    return directory


@pytest.fixture(scope="session")
def server(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real tritonserver with the sample on the software card, shared by the tests that do not harm it."""
    repository = Deployment.of_sample(sample).make_repository(tmp_path_factory.mktemp("repository") / "models")
    with running(repository) as server:
        yield server
