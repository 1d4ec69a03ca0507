"""A deployment, and the model repository that serves it: the project's models with its files and parameters."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..cards import kind_of
from ..class_names import read_class_names
from ..errors import BadParameter, BadXclbin, SetupError
from ..files import replaced_folder
from ..network.parameters import Network
from ..tensors import kernel_outputs
from ..triton.parameters import MODEL_DIRECTORY, RESNET50
from ..weights import load_fc_weights
from ..xclbin.kernel_info import KernelInfo, read_xclbin
from .config import changed_config, read_config
from .decode_workers import size_decoding
from .presets import PRESETS
from .repository import (
    ENSEMBLE,
    KERNEL_MODEL,
    LABELS,
    PREPROCESS_MODEL,
    add_batch_strategy,
    copy_models,
    default_repository,
    model_parameters,
    models_of,
    set_outputs,
)
from .scratch import SAFE

_FILES = tuple(parameter.name for parameter in RESNET50 if parameter.is_file)
_NAMES = {"xclbin": "card"}  # what their copies are called


@dataclass(frozen=True)
class Deployment:
    """What is served, and on which card.

    Args:
        xclbin: the xclbin.
        fcweights: the FC weights.
        labels: class names, one a line, or the original's labels.pkl.
        card: as in the parameter `card`.
        parameters: by model, parameters to set: {"resnet50": {"threads": "4"}}. They stand above the rest.
        preset: one of `presets.PRESETS`.
        models: the models to copy; the project's where None.
    """

    xclbin: Path
    fcweights: Path
    labels: Path | None = None
    card: str = "software:0"
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    preset: str | None = None
    models: Path | None = None

    @staticmethod
    def files_of_sample(directory: Path) -> tuple[Path, Path, Path]:
        """Xclbin, FC weights and labels of the sample that `build-sample` made."""
        return directory / "card.xclbin", directory / "fcweights.csv", directory / LABELS

    @classmethod
    def of_sample(cls, directory: Path, card: str = "software:0") -> Deployment:
        """The sample that `build-sample` made, on a card."""
        return cls(*cls.files_of_sample(directory), card)

    def make_repository(self, directory: Path, is_for_here: bool = True, is_for_object_store: bool = False) -> Path:
        """Write a model repository that serves this deployment.

        Args:
            directory: the folder to make; must not exist.
            is_for_here: it names the deployment's files where they are, and its decoding threads follow from this
                machine's cores. Otherwise the files are copied into it, and it can be taken anywhere.
            is_for_object_store: leave out the library that Triton (2.51) loads from a folder only.

        Raises:
            BadXclbin: the xclbin cannot be used.
            BadParameter: a file is missing, or there is no such model.
        """
        xclbin = read_xclbin(self.xclbin)
        names = "\n".join(read_class_names(self.labels)) if self.labels else ""
        copy_models(self._source, directory)
        for model, values in self._parameters(xclbin, names).items():
            path = directory / model / "config.pbtxt"
            if not path.is_file():
                raise BadParameter(f"no model '{model}' in the repository; it has {', '.join(models_of(directory))}")
            if model == KERNEL_MODEL:
                values = _with_files(values, path.parent, is_for_here)
            with changed_config(path) as config:
                for name, value in values.items():
                    config.parameters[name].string_value = value
        if not is_for_object_store:
            add_batch_strategy(directory / KERNEL_MODEL)
        if names:
            (directory / KERNEL_MODEL / LABELS).write_text(names)
        if (path := directory / ENSEMBLE / "config.pbtxt").is_file():
            kernel = read_config(directory / KERNEL_MODEL / "config.pbtxt")
            provenance = kernel.parameters["provenance"].string_value == "on"
            set_outputs(path, kernel_outputs(xclbin.kernel, provenance))
        if is_for_here:
            size_decoding(directory, self.card)
        return directory

    def check(self, repository: Path) -> None:
        """Find what the server would find when it loads the models, as far as it can be known without the cards.

        Args:
            repository: what `make_repository` wrote.

        Raises:
            BadXclbin, BadWeights, BadNetwork, BadParameter: what does not go together, or cannot be used.
        """
        values = model_parameters(repository, KERNEL_MODEL)
        if (repository / PREPROCESS_MODEL).is_dir():
            model_parameters(repository, PREPROCESS_MODEL)
        load_fc_weights(self.fcweights)
        network = self.parameters.get(KERNEL_MODEL, {}).get("network")
        if network and MODEL_DIRECTORY not in network:
            Network.load(network)
        if values["standby"]:
            kind_of(values["standby"])
        xclbin = read_xclbin(self.xclbin)
        for card in values["card"].split(","):
            kind = kind_of(card.strip())
            if kind in ("software", "faulty"):
                xclbin.network_bytes()
            elif kind == "xrt" and xclbin.target == "software":
                raise BadXclbin(f"{xclbin.path}: this xclbin is for software cards, and the card is '{card.strip()}'")

    @property
    def _source(self) -> Path:
        return self.models or default_repository()

    def _parameters(self, xclbin: KernelInfo, names: str) -> dict[str, dict[str, str]]:
        """What is set, by model."""
        files = {"xclbin": str(self.xclbin), "fcweights": str(self.fcweights), "xclbin_uuid": xclbin.uuid}
        if names and xclbin.kernel == "top5":  # Triton names the classes of LOGITS only
            files["class_names"] = names
        values = {KERNEL_MODEL: {**files, "card": self.card}}
        for layer in (PRESETS[self.preset] if self.preset else {}, self.parameters):
            for model, more in layer.items():
                values.setdefault(model, {}).update(more)
        order = values[KERNEL_MODEL].get("channel_order")
        if order and (self._source / PREPROCESS_MODEL / "config.pbtxt").is_file():  # what one puts out, the other takes
            values.setdefault(PREPROCESS_MODEL, {}).setdefault("channel_order", order)
        return values


def write_repository(
    directory: Path, deployment: Deployment, force: bool = False, is_for_object_store: bool = False
) -> None:
    """Write a deployment's repository, with all its files in it, in one step: there is a whole one or none.

    Args:
        directory: where.
        deployment: what.
        force: whether to replace a model repository that is there.
        is_for_object_store: as in `Deployment.make_repository`.

    Raises:
        SetupError: there is something already, or it cannot be written.
    """
    if directory.is_dir() and any(directory.iterdir()):
        if not (directory / KERNEL_MODEL / "config.pbtxt").is_file():
            raise SetupError(f"{directory} is not empty and no model repository of this project; name another folder")
        if not force:
            raise SetupError(f"{directory} is there already; name another folder, or replace it with --force")
    elif directory.exists() and not directory.is_dir():
        raise SetupError(f"{directory} is a file; name a folder")
    with replaced_folder(directory) as whole:
        deployment.make_repository(whole, is_for_here=False, is_for_object_store=is_for_object_store)
        deployment.check(whole)


def _with_files(values: Mapping[str, str], model: Path, is_for_here: bool) -> dict[str, str]:
    """The kernel model's parameters with its files where they are, or copied into the model's folder."""
    made = dict(values)
    for name in _FILES:
        if not (value := made.get(name)):
            continue
        path = Path(value.replace(MODEL_DIRECTORY, str(model)))
        if is_for_here or path.is_relative_to(model):
            if not path.is_file():
                raise BadParameter(f"{path} is not a file")
            if MODEL_DIRECTORY not in value:
                made[name] = _for_triton(path.resolve(), model / _name(name, path))
        else:
            copy = model / _name(name, path)
            _copy(path, copy)
            made[name] = f"{MODEL_DIRECTORY}/{copy.name}"
    return made


def _name(parameter: str, path: Path) -> str:
    """What a file is called in the model's folder."""
    return _NAMES.get(parameter, parameter) + path.suffix


def _for_triton(path: Path, link: Path) -> str:
    """A parameter's value for a file: its path, or a link to it where the models' Python, all ASCII, cannot name it."""
    if SAFE.fullmatch(str(path)):
        return str(path)
    link.symlink_to(path)
    return f"{MODEL_DIRECTORY}/{link.name}"


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise BadParameter(f"{source} is not a file")
    shutil.copyfile(source, target)
