"""Makes a model repository that is ready to serve: the project's models with one deployment's files and parameters."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ..errors import BadParameter, ServerNotFound
from ..tensors import LOGITS
from ..xclbin.kernel_info import read_xclbin
from .config import changed_config
from .presets import take_preset

LABELS = "labels.txt"


def default_repository() -> Path:
    """The project's `model_repository/`: in the checkout, in the installed package or in the working directory."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parents[1], package, Path.cwd()):
        candidate = folder / "model_repository"
        if (candidate / "resnet50" / "config.pbtxt").is_file():
            return candidate
    raise ServerNotFound("no model_repository/ in the package or the working directory: name one by --repository")


def make_repository(
    directory: Path,
    source: Path,
    xclbin: Path,
    fcweights: Path,
    labels: Path | None = None,
    parameters: Mapping[str, Mapping[str, str]] | None = None,
    preset: str | None = None,
) -> Path:
    """Copy the models of `source` into `directory` (must not exist) and set their parameters.

    Args:
        directory: the repository to make.
        source: the project's model_repository/.
        xclbin: the xclbin; where its kernel gives only top-5, `classify` is made to do without LOGITS.
        fcweights: the FC weights file.
        labels: class names, one a line.
        parameters: per model, parameters to set: {"resnet50": {"card": "xrt:0"}}.
        preset: one of `presets.READY`.

    Raises:
        BadXclbin: `xclbin` cannot be used.
        BadParameter: a file is missing, or a model or preset does not exist.
    """
    image = read_xclbin(xclbin)
    for path in (fcweights, *([labels] if labels else [])):
        if not path.is_file():
            raise BadParameter(f"{path} is not a file")
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("__pycache__"))
    if preset:
        take_preset(directory, preset)
    for unused in directory.glob("*/configs"):  # they do not know this deployment's files
        shutil.rmtree(unused)
    files = {"xclbin": str(xclbin.resolve()), "fcweights": str(fcweights.resolve())}
    _set_parameters(directory / "resnet50" / "config.pbtxt", files)
    for model, values in (parameters or {}).items():
        _set_parameters(directory / model / "config.pbtxt", values)
    if labels:
        shutil.copyfile(labels, directory / "resnet50" / LABELS)
    if image.kernel == "top5":
        # The published kernel ranks on the card and returns no logits.
        drop_outputs(directory / "classify" / "config.pbtxt", LOGITS.name)
    return directory


def _set_parameters(path: Path, values: Mapping[str, str]) -> None:
    if not path.is_file():
        raise BadParameter(f"no model '{path.parent.name}' in the repository")
    with changed_config(path) as config:
        for name, value in values.items():
            config.parameters[name].string_value = value


def drop_outputs(path: Path, *names: str) -> None:
    """Take outputs out of an ensemble's config.pbtxt that its last step does not have: it must not promise them."""
    with changed_config(path) as config:
        kept = [output for output in config.output if output.name not in names]
        del config.output[:]
        config.output.extend(kept)
        for step in config.ensemble_scheduling.step:
            for name in names:
                step.output_map.pop(name, None)
