"""`resnet50-pynq bench`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..xclbin.u250 import PLATFORM
from .arguments import amount, positive

SWEEP_SECONDS = 10.0  # a software card would need half an hour for the original's hundred runs of each size

HELP = "measure the kernel alone: throughput, latency, power (the original's synthetic benchmark)"


def add_arguments(parser: ArgumentParser) -> None:
    """The original benchmark's own names and defaults."""
    for option, name, what in (
        ("--xclbin", "resnet50.xclbin", "xclbin"),
        ("--fcweights", "fcweights.csv", "FC weights"),
    ):
        parser.add_argument(option, type=Path, default=Path(name), help=f"the {what} (default: %(default)s)")
    parser.add_argument(
        "--shell", default=PLATFORM, help="shell of the Alveo to use, of several (default: %(default)s)"
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--bs", type=positive, default=1, help="batch size (default: %(default)s)")
    sizes.add_argument(
        "--sweep",
        type=_sizes,
        metavar="SIZES",
        help="a table of batch sizes, such as 1,10,100,1000, with the published figures",
    )
    parser.add_argument("--reps", type=positive, default=100, help="number of runs (default: %(default)s)")
    parser.add_argument(
        "--seconds",
        type=amount,
        help=f"start no run after this (default: with --sweep {SWEEP_SECONDS:g} for each size, otherwise no limit)",
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--card", help="software:N or xrt:N (default: the card that the xclbin is for)")


def _sizes(text: str) -> list[int]:
    return [positive(size) for size in text.split(",")]


def run(args: Namespace) -> int:
    """The kernel alone, measured."""
    from ..standalone.bench import Style, bench

    seconds = SWEEP_SECONDS if args.sweep and args.seconds is None else args.seconds
    style: Style = "json" if args.json else "table" if args.sweep else "lines"
    sizes = args.sweep or [args.bs]
    bench(args.xclbin, args.fcweights, args.shell, sizes, args.reps, seconds=seconds, card=args.card, style=style)
    return 0
