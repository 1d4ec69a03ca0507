"""The project's models, and what is read from and changed in a repository of them."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc.model_config_pb2 import DataType

from ..errors import BadParameter, ServerNotFound, SetupError
from ..tensors import TensorSpec
from ..triton.parameters import PREPROCESS, RESNET50, read_parameters
from .config import changed_config, read_config

LABELS = "labels.txt"
BATCH_STRATEGY = "batchstrategy.so"  # the name that Triton looks for
KERNEL_MODEL, PREPROCESS_MODEL, ENSEMBLE = "resnet50", "preprocess", "classify"
HOW_TO_MAKE = "write it by 'resnet50-pynq make-repository', which says what it needs"


def default_repository() -> Path:
    """The project's `model_repository/`: in the checkout, in the installed package or in the working directory."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parents[1], package, Path.cwd()):
        candidate = folder / "model_repository"
        if (candidate / KERNEL_MODEL / "config.pbtxt").is_file():
            return candidate
    raise ServerNotFound("no model_repository/ in the package or the working directory: name one by --models")


def copy_models(source: Path, directory: Path) -> None:
    """Copy models to a folder that does not exist yet; the copies are writable, even if the sources are not."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, directory, ignore=ignored, copy_function=shutil.copyfile)
    for folder in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        folder.chmod(0o755)


def add_batch_strategy(model: Path) -> None:
    """Give a model the library that keeps requests that would fail others out of Triton's dynamic batches.

    It is `triton/batch_strategy.cpp`, built beside the native engine; where that was not built, there is none.

    Raises:
        SetupError: the engine was built before there was such a library.
    """
    engine = importlib.util.find_spec("resnet50_triton.network._native")
    if engine and engine.origin:
        library = Path(engine.origin).with_name(BATCH_STRATEGY)
        if not library.is_file():
            raise SetupError(f"{library} is missing: install the package again, as by 'make setup'")
        shutil.copyfile(library, model / BATCH_STRATEGY)


def set_outputs(path: Path, outputs: Sequence[TensorSpec]) -> None:
    """Give an ensemble the outputs of its last step: Triton completes no ensemble's configuration."""
    with changed_config(path) as config:
        del config.output[:]
        last = config.ensemble_scheduling.step[-1]
        last.output_map.clear()
        for spec in outputs:
            config.output.add(name=spec.name, data_type=DataType.Value(spec.triton_type), dims=spec.dims)
            last.output_map[spec.name] = spec.name


def model_parameters(repository: Path, model: str) -> dict[str, Any]:
    """The parameters of a repository's `resnet50` or `preprocess`, as its model.py reads them.

    Raises:
        BadParameter: there is no such model, or what Triton would tell when it loads it.
    """
    path = repository / model / "config.pbtxt"
    if not path.is_file():
        raise BadParameter(f"{path} is not a file; {HOW_TO_MAKE}")
    config = json_format.MessageToDict(read_config(path), preserving_proto_field_name=True)
    table = {KERNEL_MODEL: RESNET50, PREPROCESS_MODEL: PREPROCESS}[model]
    return read_parameters(table, config, (repository / model).resolve())


def describe(repository: Path) -> str:
    """What a repository's models are set to, of what presets set."""
    kernel = read_config(repository / KERNEL_MODEL / "config.pbtxt")
    images = int(kernel.parameters["kernel_batch_size"].string_value or 0) or kernel.max_batch_size
    text = f"at most {images} image{'s' if images > 1 else ''} in a run of the card"
    if (path := repository / "preprocess" / "config.pbtxt").is_file():
        threads = int(read_config(path).parameters["decode_workers"].string_value or 0)
        text += f", {threads} decoding threads" if threads else ", as many decoding threads as cores"
    return text


def models_of(repository: Path) -> list[str]:
    """The names of its models."""
    return sorted(path.parent.name for path in repository.glob("*/config.pbtxt"))
