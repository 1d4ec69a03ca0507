"""docs/architecture.md is true: every module is on its map, every file that it names is there, no file is too long."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "backend" / "resnet50_triton", ROOT / "client" / "resnet50_client")
TEXT = (ROOT / "docs" / "architecture.md").read_text()
MAP = TEXT.partition("## The map")[2].partition("## Rules")[0]
MODULES = [
    path for package in PACKAGES for path in sorted(package.rglob("*.py")) if path.stem not in ("__init__", "_native")
]
LONGEST = 400  # lines of a product file


def places() -> list[tuple[str, str]]:
    """The folder and the words in code of each row of the map; a row without a folder goes on with the one before."""
    found, folder = [], ""
    for row in re.findall(r"^\|([^|]*)\|(.*)\|$", MAP, re.M):
        folder = re.sub(r"[`() ]", "", row[0]).rstrip("/") or folder
        found += [(folder, word) for word in re.findall(r"`([\w/]+)`", row[1])]
    return found


PLACES = places()
BACKEND, CLIENT = PACKAGES
CLIENT_WORDS = set(re.findall(r"`([\w/]+)`", MAP.partition("`client/resnet50_client/`")[2]))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_on_the_map(module: Path) -> None:
    if CLIENT in module.parents:
        assert module.stem in CLIENT_WORDS
    else:
        folder = module.relative_to(BACKEND).parts[0] if module.parent != BACKEND else "top"
        assert (folder, module.stem) in PLACES, "give it a place in docs/architecture.md"


def test_what_the_map_names_is_there() -> None:
    for folder, word in PLACES:
        here = BACKEND if folder == "top" else BACKEND / folder
        known = {path.stem for path in here.rglob("*.py")} | {path.name for path in here.rglob("*") if path.is_dir()}
        assert word.rstrip("/") in known, f"{folder}: {word}"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:runtime|triton|network|cards)/\w+\.py)`", TEXT))))
def test_a_file_that_is_named_is_there(name: str) -> None:
    assert (BACKEND / name).is_file()


def test_the_tests_that_documents_name_are_there() -> None:
    """With their folder, from `tests/` on."""
    for page in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for name in re.findall(r"`(?:tests/)?(\w+/(?:\w+/)*test_\w+\.py)`", page.read_text()):
            assert (ROOT / "tests" / name).is_file(), f"{page.name}: {name}"


def test_a_run_is_started_where_the_document_says() -> None:
    assert "def _start_next" in (BACKEND / "runtime" / "worker.py").read_text()


@pytest.mark.parametrize("package", [*PACKAGES, ROOT / "model_repository"], ids=lambda path: path.name)
def test_no_product_file_is_too_long(package: Path) -> None:
    sources = [path for pattern in ("*.py", "*.cpp", "*.h") for path in package.rglob(pattern)]
    assert {path.name: n for path in sources if (n := len(path.read_text().splitlines())) > LONGEST} == {}
