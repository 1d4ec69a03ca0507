"""Shared by both models: our errors as Triton's, and the outputs completed from an xclbin.

Only importable inside Triton's Python backend.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from ..errors import BadParameter, Resnet50Error
from ..runtime.instance import check_uuid
from ..tensors import LOGITS, PIXELS, kernel_outputs
from ..xclbin.kernel_info import read_xclbin
from .parameters import RESNET50, read_parameters


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


def complete_config(config: Any, model_file: str) -> Any:
    """Declare the tensors that the xclbin's kernel has, with the label file for the classification extension.

    Raises:
        BadParameter: the configuration declares a tensor that this kernel does not have.
        ValueError: it declares one with another type or shape (Triton's own check).
    """
    directory = model_directory(model_file)
    values = read_parameters(RESNET50, config.as_dict(), directory)
    xclbin = read_xclbin(values["xclbin"])
    check_uuid(xclbin, values["xclbin_uuid"])
    config.add_input({"name": PIXELS.name, "data_type": PIXELS.triton_type, "dims": list(PIXELS.dims)})
    outputs = kernel_outputs(xclbin.kernel, values["provenance"])
    for spec in outputs:
        config.add_output({"name": spec.name, "data_type": spec.triton_type, "dims": list(spec.dims)})
    for tensors, known in ((config.as_dict()["input"], [PIXELS]), (config.as_dict()["output"], outputs)):
        for tensor in tensors:
            if tensor["name"] not in [spec.name for spec in known]:
                raise BadParameter(
                    f"model '{config.as_dict()['name']}': config.pbtxt declares '{tensor['name']}', which the "
                    f"{xclbin.kernel} kernel of {xclbin.path} does not have (it has "
                    f"{', '.join(spec.name for spec in known)}); take it out"
                )
    for output in config.as_dict()["output"]:
        # add_output() does not know label_filename; the server reads it from the completed configuration nevertheless.
        if output["name"] == LOGITS.name and (directory / "labels.txt").is_file():
            output["label_filename"] = "labels.txt"
    return config
