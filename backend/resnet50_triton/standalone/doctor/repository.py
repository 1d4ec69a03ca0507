"""Checks that the files, parameters and outputs of a complete model repository go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .finding import FAILED, OK, Finding, Wanted

MODELS = ("preprocess", "resnet50", "classify")


def completed(wanted: Wanted) -> Wanted:
    """With the files and the card that the repository names, so that the other checks look at these."""
    from ...server.repository import model_parameters

    if wanted.repository is None:
        return wanted
    values = model_parameters(wanted.repository, "resnet50")
    return replace(
        wanted,
        xclbin=wanted.xclbin or values["xclbin"],
        fcweights=wanted.fcweights or values["fcweights"],
        card=wanted.card or values["card"],
    )


def models(wanted: Wanted) -> Iterator[Finding]:
    """Whether the models are found, and those of a complete repository can be loaded."""
    from ...server.repository import HOW_TO_MAKE, default_repository, model_parameters

    if wanted.repository is None:
        yield Finding("models", OK, str(default_repository()))
        return
    missing = [name for name in MODELS if not (wanted.repository / name / "config.pbtxt").is_file()]
    if missing:
        yield Finding("models", FAILED, f"{wanted.repository} has no model {', '.join(missing)}", HOW_TO_MAKE)
        return
    for name in MODELS[:2]:
        model_parameters(wanted.repository, name)  # raises what the server would
    yield from _outputs(wanted.repository)


def _outputs(repository: Path) -> Iterator[Finding]:
    """Whether UUID and outputs are those of the xclbin."""
    from ...server.config import read_config
    from ...server.repository import HOW_TO_MAKE, model_parameters
    from ...tensors import kernel_outputs
    from ...xclbin.kernel_info import read_xclbin

    values = model_parameters(repository, "resnet50")
    xclbin = read_xclbin(values["xclbin"])
    if values["xclbin_uuid"] not in ("", xclbin.uuid):
        found = f"xclbin_uuid in {repository}/resnet50/config.pbtxt is not that of {xclbin.path}, {xclbin.uuid}"
        yield Finding("models", FAILED, found, HOW_TO_MAKE)
    outputs = [output.name for output in read_config(repository / "classify" / "config.pbtxt").output]
    expected = [output.name for output in kernel_outputs(xclbin.kernel, values["provenance"])]
    if outputs != expected:
        found = f"classify has the outputs {', '.join(outputs)}, resnet50 with {xclbin.path} {', '.join(expected)}"
        yield Finding("models", FAILED, found, HOW_TO_MAKE)
    else:
        about = f"a complete repository, {xclbin.kernel} kernel, outputs {', '.join(outputs)}"
        yield Finding("models", OK, f"{repository}: {about}")
