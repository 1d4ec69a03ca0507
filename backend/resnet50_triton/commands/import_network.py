"""`resnet50-pynq import-network`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "read the trained parameters from a checkout of Xilinx/ResNet50-PYNQ"


def add_arguments(parser: ArgumentParser) -> None:
    """Input and output."""
    parser.add_argument("checkout", type=Path, metavar="CHECKOUT", help="the folder of the original project")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="NET.npz", help="the file to write")
    parser.add_argument("--names", type=Path, metavar="FILE", help="also write the class names, a name a line")


def run(args: Namespace) -> int:
    """Write net.npz from a checkout of the original project."""
    from ..class_names import read_class_names
    from ..files import write_atomically
    from ..network.importer import import_checkout

    names = read_class_names(args.checkout / "host" / "labels.pkl") if args.names else []
    write_atomically(args.output, import_checkout(args.checkout).to_bytes())
    print(f"wrote {args.output}")
    if args.names:
        write_atomically(args.names, "".join(f"{name}\n" for name in names).encode())
        print(f"wrote {args.names}")
    return 0
