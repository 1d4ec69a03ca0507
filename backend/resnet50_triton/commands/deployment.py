"""The deployment arguments of `serve` and `make-repository`, and the deployment made of them."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..server.presets import PRESETS
from .arguments import WrongUsage, add_files

if TYPE_CHECKING:
    from ..server.deploy import Deployment


def add_deployment(parser: ArgumentParser) -> None:
    """Files, card, parameters."""
    files = parser.add_argument_group("what is deployed")
    add_files(files)
    files.add_argument("--labels", type=Path, help="class names, one a line, or labels.pkl")
    files.add_argument(
        "--sample", type=Path, metavar="DIRECTORY", help="serve the sample in this folder instead of files"
    )
    files.add_argument(
        "--card",
        help="software:N, xrt:N or timing:N, several separated by commas, or xrt:* (default: software:0)",
    )
    files.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        help="the original's settings: latency is batch size 1 and 4 decoding threads, throughput 100 and 16",
    )
    files.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="MODEL.NAME=VALUE",
        help="set a parameter of a model, such as resnet50.threads=4; may be repeated",
    )
    files.add_argument(
        "--provenance",
        action="store_true",
        help="add the output PROVENANCE: which card computed an image, and when (resnet50.provenance=on)",
    )
    files.add_argument(
        "--models",
        type=Path,
        metavar="DIRECTORY",
        help="models that you edited (default: this project's model_repository/)",
    )


def deployment_of(args: Namespace) -> Deployment | None:
    """What the arguments deploy; None where they name nothing to deploy. Raises WrongUsage where they name it twice."""
    from ..server.deploy import Deployment

    parameters: dict[str, dict[str, str]] = {"resnet50": {"provenance": "on"}} if args.provenance else {}
    for model, name, value in args.set:
        parameters.setdefault(model, {})[name] = value
    files = (args.xclbin, args.fcweights, args.labels)
    if args.sample:
        if any(files):
            raise WrongUsage("--sample has its own files: leave --xclbin, --fcweights and --labels out")
        files = Deployment.files_of_sample(args.sample)
    elif not (args.xclbin and args.fcweights):
        if any(files):
            raise WrongUsage("both --xclbin and --fcweights are needed")
        return None
    return Deployment(*files, args.card or Deployment.card, parameters, args.preset, args.models)


def is_deployment_named(args: Namespace) -> bool:
    """Whether any of the arguments above was given."""
    names = ("xclbin", "fcweights", "labels", "sample", "card", "preset", "set", "provenance", "models")
    return any(getattr(args, name) for name in names)


def _setting(text: str) -> tuple[str, str, str]:
    """Model, name and value of MODEL.NAME=VALUE."""
    path, equals, value = text.partition("=")
    model, dot, name = path.partition(".")
    if not (model and dot and name and equals):
        raise ArgumentTypeError(f"'{text}' is not MODEL.NAME=VALUE, such as resnet50.threads=4")
    return model, name, value
