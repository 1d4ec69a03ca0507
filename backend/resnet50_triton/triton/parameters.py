"""The parameters of the served models: one table a model, read from Triton's model configuration.

Triton hands every parameter over as a string. Paths may be absolute, or start with $$TRITON_MODEL_DIRECTORY, the
model's folder in the repository (the spelling of Triton's own EXECUTION_ENV_PATH).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadParameter

MODEL_DIRECTORY = "$$TRITON_MODEL_DIRECTORY"

# Parameters that Triton's Python backend reads for itself.
_TRITONS_OWN = {"EXECUTION_ENV_PATH", "FORCE_CPU_ONLY_INPUT_TENSORS", "TRITON_BATCH_STRATEGY_PATH"}


def text(value: str) -> str:
    """Any text that is not blank."""
    if not value.strip():
        raise ValueError("it is empty")
    return value


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError("it is not a whole number") from None
        if not low <= number <= high:
            raise ValueError(f"it must be from {low} to {high}")
        return number

    return parse


def seconds(value: str) -> float:
    """A parser of a time in seconds above zero, at most a day."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("it is not a number of seconds") from None
    if not 0 < number <= 86400:
        raise ValueError("it must be above 0 and at most 86400 seconds")
    return number


def seconds_or(word: str) -> Callable[[str], float | None]:
    """A parser of a time in seconds, or a word that stands for None."""
    return lambda value: None if value == word else seconds(value)


def percent(value: str) -> float:
    """A parser of a percentage."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("it is not a number") from None
    if not 0 <= number <= 100:
        raise ValueError("it must be from 0 to 100")
    return number


def one_of(*choices: str) -> Callable[[str], str]:
    """A parser of one of a few words."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"it must be {' or '.join(choices)}")
        return value

    return parse


def switch(value: str) -> bool:
    """A parser of "on" and "off"."""
    return one_of("off", "on")(value) == "on"


@dataclass(frozen=True)
class Parameter:
    """One model parameter; without a default it must be given.

    `is_file` ones must name a file that exists; with the default "" they may be left out, and are None then.
    """

    name: str
    help: str
    parse: Callable[[str], Any] = text
    default: str | None = None
    is_file: bool = False


RESNET50 = (
    Parameter("xclbin", "the xclbin", is_file=True),
    Parameter("fcweights", "the FC weights: CSV of 1000 x 2048 int8, or .npy", is_file=True),
    Parameter("card", "the cards: software:N or xrt:N, several with commas, or xrt:*", default="software:0"),
    Parameter("channel_order", "of PIXELS: BGR, the card's native order, or RGB", one_of("BGR", "RGB"), "BGR"),
    Parameter("xclbin_uuid", "the UUID that the xclbin must have; if unset, any", str, ""),
    Parameter("class_names", "class names, one a line, for clients of a kernel that returns TOP5", str, ""),
    Parameter("min_ready_cards", "the model is ready while at least this many cards work", whole_number(1, 1024), "1"),
    Parameter("threads", "CPU threads of a software card, 0: one per CPU", whole_number(0, 1024), "0"),
    Parameter("kernel_batch_size", "the most images in one run, 0: max_batch_size", whole_number(0, 65536), "0"),
    Parameter("buffer_sets", "sets of device buffers per card", whole_number(3, 64), "3"),
    Parameter(
        "kernel_timeout_s", "after this time a run marks its card as failed; auto: measured", seconds_or("auto"), "auto"
    ),
    Parameter("recovery_attempts", "attempts to recover a card before it is quarantined", whole_number(1, 1000), "5"),
    Parameter("failover_wait_s", "how long a request may wait for a recovery, or off", seconds_or("off"), "10"),
    Parameter("standby", "a card that is used only while no other works, as software:0", str, ""),
    Parameter("selftest_interval_s", "time between self-tests of a card, or off", seconds_or("off"), "60"),
    Parameter("cross_check_percent", "batches that the software engine computes again before the answer", percent, "0"),
    Parameter("network", "net.npz of a real card's network, for self-test and cross-check", default="", is_file=True),
    Parameter("provenance", "on: the output PROVENANCE, which card computed an image and when", switch, "off"),
)

PREPROCESS = (
    Parameter("decode_workers", "decoding threads, 0: one per CPU", whole_number(0, 1024), "0"),
    Parameter("channel_order", "of PIXELS, as resnet50 takes them", one_of("BGR", "RGB"), "BGR"),
    Parameter("mode", "how images become 224x224", one_of("stretch", "center_crop"), "stretch"),
    Parameter("truncated", "images whose data end early or are corrupt", one_of("refuse", "accept"), "refuse"),
    Parameter("scaled_decode", "decode large JPEGs at a fraction: faster, not exact", one_of("off", "on"), "off"),
    Parameter("max_encoded_bytes", "larger files are refused", whole_number(1, 2**31 - 1), str(32 << 20)),
    Parameter("max_pixels", "images of more pixels are refused", whole_number(1, 178_000_000), "64000000"),
    Parameter("max_decode_s", "images that take longer are refused", seconds, "10"),
    Parameter("max_waiting_requests", "requests that may wait to be decoded", whole_number(1, 1_000_000), "1024"),
    Parameter("max_waiting_bytes", "encoded bytes that may wait", whole_number(1, 2**40), str(1 << 30)),
    Parameter(
        "max_inflight_requests", "requests that may wait for the card, 0: any number", whole_number(0, 1_000_000), "256"
    ),
)


def default_values(table: tuple[Parameter, ...]) -> dict[str, Any]:
    """The parsed defaults of a table, for who has no configuration; parameters that must be given are missing."""
    return {p.name: None if p.is_file else p.parse(p.default) for p in table if p.default is not None}


def read_parameters(table: tuple[Parameter, ...], config: Mapping[str, Any], model_directory: Path) -> dict[str, Any]:
    """Check and parse the `parameters` of a model configuration.

    Args:
        table: what the model knows.
        config: the model configuration as Triton gives it: {"parameters": {name: {"string_value": value}}, ...}.
        model_directory: what $$TRITON_MODEL_DIRECTORY stands for.

    Returns:
        Every parameter of the table by name; files as Path, the others as their parser makes them.

    Raises:
        BadParameter: naming the parameter, the value and the fix.
    """
    model = config.get("name", model_directory.name)
    given = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
    known = [parameter.name for parameter in table]
    for name in given:
        if name not in known and name not in _TRITONS_OWN:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise BadParameter(f"model '{model}': unknown parameter '{name}' in its config.pbtxt; {hint}")
    return {p.name: _read(p, given.get(p.name, p.default), model, model_directory) for p in table}


def _read(parameter: Parameter, value: str | None, model: str, model_directory: Path) -> Any:
    if parameter.is_file and value == parameter.default == "":
        return None
    if value is None:
        raise BadParameter(
            f"model '{model}': parameter '{parameter.name}' ({parameter.help}) is missing; add to its config.pbtxt: "
            f'parameters {{ key: "{parameter.name}" value {{ string_value: "..." }} }}'
        )
    try:
        parsed = parameter.parse(value)
    except ValueError as error:
        raise BadParameter(f"model '{model}': parameter '{parameter.name}' is '{value}': {error}") from None
    if not parameter.is_file:
        return parsed
    # The stub's Python (Triton 2.51) takes all paths for ASCII: through their bytes it finds others too.
    full = value.replace(MODEL_DIRECTORY, str(model_directory)).encode(errors="surrogateescape")
    path = Path(os.fsdecode(full))
    if not path.is_absolute():
        raise BadParameter(
            f"model '{model}': parameter '{parameter.name}' is '{value}': a relative path would depend on where the "
            f"server was started; use an absolute one or {MODEL_DIRECTORY}/..."
        )
    if not path.is_file():
        raise BadParameter(
            f"model '{model}': parameter '{parameter.name}' ({parameter.help}) names {full.decode(errors='replace')}, "
            "which is not a file; "
            "put it there, correct the path in config.pbtxt, or have 'resnet50-pynq make-repository' write it all"
        )
    return path
