"""`resnet50-pynq bench`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..xclbin.u250 import PLATFORM
from .arguments import add_default_card, positive

HELP = "measure the kernel alone: throughput, latency, power (the original's synthetic benchmark)"


def add_arguments(parser: ArgumentParser) -> None:
    """The original benchmark's own names and defaults."""
    for option, name, what in (
        ("--xclbin", "resnet50.xclbin", "xclbin"),
        ("--fcweights", "fcweights.csv", "FC weights"),
    ):
        parser.add_argument(option, type=Path, default=Path(name), help=f"the {what} (default: %(default)s)")
    parser.add_argument(
        "--shell", default=PLATFORM, help="of several Alveos take the one with it (default: %(default)s)"
    )
    parser.add_argument("--bs", type=positive, default=1, help="images in a run of the card (default: %(default)s)")
    parser.add_argument("--reps", type=positive, default=100, help="runs (default: %(default)s)")
    add_default_card(parser)


def run(args: Namespace) -> int:
    """The kernel alone, measured."""
    from ..standalone.bench import bench

    bench(args.xclbin, args.fcweights, args.shell, args.bs, args.reps, args.card)
    return 0
