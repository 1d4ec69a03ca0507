"""The options of tritonserver that a user may give, and why some are refused."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import BadParameter

_OFF = ("false", "0", "off")  # as tritonserver reads them
# Without their dashes: what `serve` sets itself, and what to give instead.
_OURS = {
    "model-repository": "give --model-repository to serve itself",
    "model-store": "give --model-repository to serve itself",
    "http-address": "give --http-host or --host to serve itself",
    "http-port": "give --http-port to serve itself",
    "grpc-address": "give --host to serve itself",
    "grpc-port": "give --grpc-port to serve itself",
    "metrics-address": "give --host to serve itself",
    "metrics-port": "give --metrics-port to serve itself",
    "help": "run tritonserver --help",
    "version": "run tritonserver --version",
}
_NEEDED = {
    "allow-http": "over which serve asks whether the server is ready; --http-host=127.0.0.1 keeps it from others",
    "allow-metrics": "which tell preprocess how many requests wait for the card",
}


def check_options(options: Sequence[str]) -> None:
    """Raise BadParameter where tritonserver would not become ready with these options, or serve not notice it."""
    for option in options:
        name, equals, value = option.removeprefix("--").partition("=")
        if not option.startswith("--") or not name:
            raise BadParameter(
                f"--option '{option}' is no option of tritonserver; write name and value as one: --option=--NAME=VALUE"
            )
        # Tritonserver takes any beginning of a name that no other begins with.
        for ours, instead in _OURS.items():
            if ours.startswith(name):
                raise BadParameter(f"--option {option}: serve sets --{ours} itself; {instead}")
        for needed, why in _NEEDED.items():
            if needed.startswith(name) and value.lower() in _OFF:
                raise BadParameter(f"--option {option}: that switches off what serve needs, {why}")
        if name.startswith("http-restricted-api") and "health" in value.partition(":")[0].split(","):
            raise BadParameter(f"--option {option}: serve asks whether the server is ready, so 'health' has to be open")
        if name == "backend-config" and "shm-region-prefix-name" in value:
            raise BadParameter(f"--option {option}: serve sets shm-region-prefix-name itself; leave it out")
        if not equals and name not in ("disable-auto-complete-config",):
            raise BadParameter(f"--option {option} has no value; write --option=--{name}=VALUE")


def is_off(options: Sequence[str], name: str) -> bool:
    """Whether the options switch something off; the last one counts."""
    values = [option.partition("=")[2].lower() for option in options if option.partition("=")[0] == f"--{name}"]
    return bool(values) and values[-1] in _OFF
