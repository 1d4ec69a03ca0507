"""The little that the models' glue has in common: our errors as Triton's, and the outputs completed from a card image.

Only importable inside Triton's Python backend.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .card_image import read_card_image
from .errors import Resnet50Error
from .parameters import RESNET50, read_parameters
from .tensors import LOGITS, TOP5


def failure(error: Resnet50Error) -> Any:
    """A response that carries `error` with its code."""
    code = getattr(pb_utils.TritonError, error.triton_code)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))


def parameters(table: Any, args: dict[str, str], model_file: str) -> dict[str, Any]:
    """The parsed parameters of the model whose model.py is `model_file`."""
    return read_parameters(table, json.loads(args["model_config"]), model_directory(model_file))


def model_directory(model_file: str) -> Path:
    """The model's folder in the repository: model.py lies in a version folder below it."""
    return Path(model_file).resolve().parents[1]


def complete_outputs(config: Any, model_file: str) -> Any:
    """Declare the outputs that the card image's kernel has, with the label file for the classification extension."""
    directory = model_directory(model_file)
    image = read_card_image(read_parameters(RESNET50, config.as_dict(), directory)["xclbin"])
    for spec in (LOGITS, TOP5) if image.kernel == "logits" else (TOP5,):
        config.add_output({"name": spec.name, "data_type": spec.triton_type, "dims": list(spec.dims)})
    for output in config.as_dict()["output"]:
        # add_output() does not know label_filename; the server reads it from the completed configuration all the same.
        if output["name"] == LOGITS.name and (directory / "labels.txt").is_file():
            output["label_filename"] = "labels.txt"
    return config
