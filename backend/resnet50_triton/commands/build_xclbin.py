"""`resnet50-pynq build-xclbin`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "make an xclbin for the software card from network parameters"


def add_arguments(parser: ArgumentParser) -> None:
    """Input, kernel, output."""
    parser.add_argument("--network", type=Path, required=True, metavar="NET.npz", help="the network's parameters")
    parser.add_argument(
        "--kernel", choices=("logits", "top5"), default="logits", help="what the kernel returns (default: logits)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="CARD.xclbin", help="the file to write")


def run(args: Namespace) -> int:
    """Write a software xclbin."""
    from ..network.parameters import Network
    from ..xclbin.kernel_info import write_xclbin

    write_xclbin(args.output, Network.load(args.network), args.kernel)
    print(f"wrote {args.output} ({args.kernel} kernel, {args.output.stat().st_size} bytes)")
    return 0
