"""Makes a model repository that is ready to serve: the project's models with one deployment's files and parameters."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ..errors import BadParameter, ServerNotFound
from ..tensors import LOGITS
from ..xclbin.kernel_info import read_xclbin
from .config import changed_config, read_config
from .presets import PRESETS

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
        preset: one of `presets.PRESETS`.

    Raises:
        BadXclbin: `xclbin` cannot be used.
        BadParameter: a file is missing, or a model does not exist.
    """
    image = read_xclbin(xclbin)
    for path in (fcweights, *([labels] if labels else [])):
        if not path.is_file():
            raise BadParameter(f"{path} is not a file")
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("__pycache__"))
    for model, values in PRESETS[preset].items() if preset else ():
        _set_parameters(directory / model / "config.pbtxt", values)
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


def describe(repository: Path) -> str:
    """What a repository's models are set to, of what presets set."""
    kernel = read_config(repository / "resnet50" / "config.pbtxt")
    images = int(kernel.parameters["kernel_batch_size"].string_value or 0) or kernel.max_batch_size
    text = f"at most {images} image{'s' if images > 1 else ''} in a run of the card"
    if (path := repository / "preprocess" / "config.pbtxt").is_file():
        text += f", {read_config(path).parameters['decode_workers'].string_value} decoding threads"
    return text
