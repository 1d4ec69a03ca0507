"""The checked-in model repository says what tensors.py says, and a deployment of it keeps to that."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from resnet50_triton import tensors
from resnet50_triton.triton import parameters
from tritonclient.grpc import model_config_pb2

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
SPECS = {spec.name: spec for spec in (tensors.IMAGE, tensors.PIXELS, tensors.LOGITS, tensors.TOP5, tensors.PROVENANCE)}
EXPECTED = {
    "preprocess": (["IMAGE"], ["PIXELS"]),
    "resnet50": (["PIXELS"], []),  # completed from the xclbin at load
    "classify": (["IMAGE"], ["LOGITS"]),
}


@pytest.mark.parametrize("model", EXPECTED)
def test_tensors_match_the_table(model: str) -> None:
    text = (REPOSITORY / model / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    inputs, outputs = EXPECTED[model]
    assert [i.name for i in config.input] == inputs
    assert [o.name for o in config.output] == outputs
    for tensor in [*config.input, *config.output]:
        spec = SPECS[tensor.name]
        assert model_config_pb2.DataType.Name(tensor.data_type) == spec.triton_type
        assert tuple(tensor.dims) == spec.dims


@pytest.mark.parametrize(("model", "table"), [("preprocess", parameters.PREPROCESS), ("resnet50", parameters.RESNET50)])
def test_parameters_are_known(model: str, table: tuple[parameters.Parameter, ...]) -> None:
    text = (REPOSITORY / model / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert set(config.parameters) <= {parameter.name for parameter in table}


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("*/1/model.py")), ids=lambda path: path.parts[-3])
def test_models_stay_glue(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 30
