"""`resnet50-pynq infer`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from .arguments import add_files, positive

HELP = "classify images without Triton (the original's multithreaded application)"


def add_arguments(parser: ArgumentParser) -> None:
    """The original application's own names."""
    add_files(parser, required=True)
    parser.add_argument("--img_path", type=Path, required=True, help="an image, or a folder of images")
    parser.add_argument("--max_bs", type=positive, default=1, help="largest batch size (default: %(default)s)")
    parser.add_argument(
        "--preprocess_workers", type=positive, default=1, help="decoding threads (default: %(default)s)"
    )
    parser.add_argument("--profile", action="store_true", help="also report the times of each image")
    parser.add_argument("--outfile", type=Path, help="write the results to this CSV file (default: print them)")
    parser.add_argument("--labels", type=Path, help="ground truth, '<filename> <class id>' a line: print the accuracy")
    parser.add_argument("--names", type=Path, help="class names: a name a line, or the original's labels.pkl")
    parser.add_argument(
        "--card", help="software:N or xrt:N, several separated by commas (default: the card that the xclbin is for)"
    )


def run(args: Namespace) -> int:
    """The original application; 1 if not one image could be classified."""
    from ..standalone.infer import infer

    done = infer(
        args.xclbin,
        args.fcweights,
        args.img_path,
        args.max_bs,
        args.preprocess_workers,
        args.profile,
        args.outfile,
        args.labels,
        args.names,
        args.card,
    )
    return 0 if done else 1
