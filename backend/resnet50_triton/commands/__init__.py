"""The subcommands of `resnet50-pynq`, a module each: HELP, add_arguments(parser), and run(args) -> the exit code.

A module imports what it does the work with when it runs, so that --help and the other commands do not wait for it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Protocol

from . import (
    bench,
    build_sample,
    build_xclbin,
    capacity,
    doctor,
    download,
    import_network,
    infer,
    make_repository,
    run,
    serve,
)


class Command(Protocol):
    """What a module of this package has."""

    HELP: str  # a line, without a capital and a full stop

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's arguments to its parser."""

    def run(self, args: Namespace) -> int:
        """Do it. Raises Resnet50Error, or arguments.WrongUsage where the arguments do not go together."""


# In the order in which `resnet50-pynq --help` lists them.
COMMANDS: dict[str, Command] = {
    "serve": serve,
    "make-repository": make_repository,
    "doctor": doctor,
    "download": download,
    "infer": infer,
    "bench": bench,
    "run": run,
    "build-sample": build_sample,
    "build-xclbin": build_xclbin,
    "import-network": import_network,
    "capacity": capacity,
}
