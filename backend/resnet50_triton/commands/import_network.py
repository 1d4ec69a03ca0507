"""`resnet50-pynq import-network`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "read the trained parameters from a checkout of Xilinx/ResNet50-PYNQ"


def add_arguments(parser: ArgumentParser) -> None:
    """Input and output."""
    parser.add_argument("checkout", type=Path, metavar="CHECKOUT", help="the folder of the original project")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="NET.npz", help="the file to write")


def run(args: Namespace) -> int:
    """Write net.npz from a checkout of the original project."""
    from ..files import write_atomically
    from ..network.importer import import_checkout

    write_atomically(args.output, import_checkout(args.checkout).to_bytes())
    print(f"wrote {args.output}")
    return 0
