"""The subcommands of `resnet50-client`: each module adds its own arguments, and runs."""

from __future__ import annotations

import argparse
from typing import Protocol, cast

from resnet50_client.commands import accuracy, classify, compare, doctor, merge, page, perf_data


class Command(Protocol):
    """What a module of this package has."""

    HELP: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Its arguments."""

    def run(self, options: argparse.Namespace) -> bool:
        """Do it; whether all is well. Raises ClientError."""


COMMANDS: dict[str, Command] = {
    name: cast("Command", module)
    for name, module in (
        ("classify", classify),
        ("page", page),
        ("accuracy", accuracy),
        ("compare", compare),
        ("merge", merge),
        ("perf-data", perf_data),
        ("doctor", doctor),
    )
}
