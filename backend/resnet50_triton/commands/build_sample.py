"""`resnet50-pynq build-sample`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "make the sample: a network, its weights, and images that it knows"


def add_arguments(parser: ArgumentParser) -> None:
    """Where to."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIRECTORY", help="the folder to write")


def run(args: Namespace) -> int:
    """Make the sample, unless it is there already."""
    from ..sample.build import build_sample

    build_sample(args.output, progress=print)
    return 0
