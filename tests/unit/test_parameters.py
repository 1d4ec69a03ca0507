"""Model parameters: every mistake is named with its fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from resnet50_triton.errors import BadParameter
from resnet50_triton.triton.parameters import PREPROCESS, RESNET50, read_parameters


def config(**values: str) -> dict[str, object]:
    return {"name": "resnet50", "parameters": {k: {"string_value": v} for k, v in values.items()}}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name in ("card.xclbin", "fcweights.csv"):
        (tmp_path / name).touch()
    return {"xclbin": str(tmp_path / "card.xclbin"), "fcweights": "$$TRITON_MODEL_DIRECTORY/fcweights.csv"}


def test_paths_defaults_and_types(tmp_path: Path, files: dict[str, str]) -> None:
    parameters = read_parameters(RESNET50, config(**files, threads="2"), tmp_path)
    assert parameters["xclbin"] == tmp_path / "card.xclbin"
    assert parameters["fcweights"] == tmp_path / "fcweights.csv"
    assert parameters["card"] == "software:0"
    assert parameters["threads"] == 2


def test_tritons_own_parameters_are_let_through(tmp_path: Path) -> None:
    assert read_parameters(PREPROCESS, config(EXECUTION_ENV_PATH="/x"), tmp_path)["decode_workers"] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"xclbn": "x"}, ["unknown parameter 'xclbn'", "did you mean 'xclbin'"]),
        ({"zzz": "x"}, ["unknown parameter 'zzz'", "known: xclbin, fcweights, card"]),
        ({"xclbin": "/nowhere/card.xclbin"}, ["xclbin", "/nowhere/card.xclbin, which is not a file", "config.pbtxt"]),
        ({"fcweights": "fcweights.csv"}, ["fcweights", "relative path", "$$TRITON_MODEL_DIRECTORY"]),
        ({"threads": "many"}, ["threads", "'many'", "not a whole number"]),
        ({"threads": "-1"}, ["threads", "from 0 to 1024"]),
        ({"kernel_timeout_s": "0"}, ["kernel_timeout_s", "above 0"]),
        ({"kernel_timeout_s": "nan"}, ["kernel_timeout_s", "above 0"]),
        ({"card": " "}, ["card", "empty"]),
    ],
)
def test_mistakes_are_named(tmp_path: Path, files: dict[str, str], change: dict[str, str], words: list[str]) -> None:
    with pytest.raises(BadParameter) as error:
        read_parameters(RESNET50, config(**{**files, **change}), tmp_path)
    for word in ["model 'resnet50'", *words]:
        assert word in str(error.value)


def test_a_missing_parameter_is_named_with_the_line_to_add(tmp_path: Path, files: dict[str, str]) -> None:
    del files["xclbin"]
    with pytest.raises(BadParameter, match=r"'xclbin' .* is missing; add .* key: \"xclbin\""):
        read_parameters(RESNET50, config(**files), tmp_path)
