"""`resnet50-pynq run`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from .arguments import add_files

HELP = "run the network on pixels from a file, without Triton"


def add_arguments(parser: ArgumentParser) -> None:
    """The card's files, input, output."""
    add_files(parser, required=True)
    parser.add_argument("--card", default="software:0", help="software:N, xrt:N or timing:N (default: software:0)")
    parser.add_argument("--pixels", type=Path, required=True, metavar="IN.npy", help="uint8 (N, 224, 224, 3), B, G, R")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.npz", help="logits and top5")


def run(args: Namespace) -> int:
    """Pixels through one card, results to a file."""
    from ..standalone.run import run_file

    count, elapsed_s = run_file(args.xclbin, args.fcweights, args.card, args.pixels, args.output)
    print(f"{count} images in {elapsed_s:.3f} s on {args.card}: {args.output}")
    return 0
