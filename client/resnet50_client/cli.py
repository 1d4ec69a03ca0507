"""The command `resnet50-client`: options, exit codes, and nothing else."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from resnet50_client import __version__, commands
from resnet50_client.client import TOP, WINDOW, AsyncClient
from resnet50_client.dataset import find_images, read_labels, read_names
from resnet50_client.errors import ClientError
from resnet50_client.outfile import OutFile
from resnet50_client.report import consoles

OK, NOT_ALL_WELL, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 130

EXIT_CODES = """\
exit codes:
  0    every image was classified (accuracy: and top-1 is not below --min-top1)
  1    some image failed, or top-1 is below --min-top1, or nothing could be scored
  2    wrong options or files, or no server at --url, or nowhere to write
  130  stopped by Ctrl-C; accuracy then prints the figures so far
"""
MAIN_EXAMPLES = """\
examples:
  resnet50-client classify cat.jpg holiday/
  resnet50-client accuracy val/ --labels val/labels.txt --min-top1 60

"""
CLASSIFY_EXAMPLES = """\
examples:
  resnet50-client classify cat.jpg                       class, score and margin of one image
  resnet50-client classify holiday/ --top 3              all images of a folder, three classes each
  resnet50-client classify a.jpg --url http://card7:8000 over HTTP, on another machine
  resnet50-client classify holiday/ --json | jq .top[0]  one JSON object for each image
  curl -s https://example.org/a.jpg | resnet50-client classify -

The score is the accelerator's integer accumulator: it orders classes, and is no probability. The margin is
the score less that of the runner-up. Where the card image answers class ids only, there is neither.

"""
ACCURACY_EXAMPLES = """\
examples:
  resnet50-client accuracy val/ --labels labels.txt
  resnet50-client accuracy val/ --labels labels.txt --min-top1 60 --json > summary.json
  resnet50-client accuracy val/ --labels labels.txt --show wrong --outfile results.csv

labels.txt has a line `<filename> <class id>` for each image, the name without folders:
  ILSVRC2012_val_00000001.JPEG 65

Top-1 and top-5 are over the images that have a label and were answered. All others are counted and named:
failed, unlabelled (an image without a label), missing (a label without an image).

"""


def build_parser() -> argparse.ArgumentParser:
    """The options of the command and its subcommands."""
    parser = argparse.ArgumentParser(
        prog="resnet50-client",
        description="Classify images on a Triton server that runs resnet50-pynq, and measure its accuracy.",
        epilog=MAIN_EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    classify = subparsers.add_parser(
        "classify",
        help="name what is in images",
        description="Name what is in images.",
        epilog=CLASSIFY_EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    classify.add_argument(
        "paths", nargs="+", metavar="PATH", help="image, folder (searched to any depth), or - (stdin)"
    )
    classify.add_argument("--labels", type=Path, metavar="FILE", help="right answers, to show right or wrong")
    classify.add_argument("--top", type=_positive, default=1, metavar="K", help="classes for each image (default 1)")
    classify.add_argument("--json", action="store_true", help="print one JSON object a line, one for each image")
    _add_common(classify)

    accuracy = subparsers.add_parser(
        "accuracy",
        help="measure top-1 and top-5 accuracy",
        description="Measure top-1 and top-5 accuracy over labelled images, with 95 % intervals.",
        epilog=ACCURACY_EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    accuracy.add_argument("paths", nargs="+", metavar="FOLDER", help="folder of images, searched to any depth")
    accuracy.add_argument("--labels", type=Path, required=True, metavar="FILE", help="right answers, one a line")
    accuracy.add_argument("--min-top1", type=_percent, metavar="PERCENT", help="exit with 1 if top-1 is below this")
    accuracy.add_argument(
        "--show",
        choices=("auto", "all", "wrong", "none"),
        default="auto",
        help=f"images to print a row for (default: all if at most {commands.ROWS_BY_DEFAULT}, else none)",
    )
    accuracy.add_argument("--json", action="store_true", help="print the summary as one JSON object, and no rows")
    _add_common(accuracy)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--outfile", type=Path, metavar="FILE", help="write every answer to FILE (.csv or .jsonl)")
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="class names, line i for class i (default: ask the server)"
    )
    server = parser.add_argument_group("server")
    server.add_argument(
        "--url", metavar="URL", help="host:port or http://host:port (default localhost:8001, over HTTP localhost:8000)"
    )
    server.add_argument("--protocol", choices=("grpc", "http"), help="default grpc, or what --url says")
    server.add_argument("--model", default="classify", metavar="NAME", help="model to ask (default classify)")
    server.add_argument(
        "--window", type=_positive, default=WINDOW, metavar="N", help=f"images under way at once (default {WINDOW})"
    )
    server.add_argument(
        "--timeout-s", type=_seconds, default=300.0, metavar="S", help="longest wait for one answer (default 300)"
    )
    server.add_argument(
        "--retry-s",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="once running, how long to go on trying while the server is unavailable (default 30)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        The exit code, as `--help` lists them.
    """
    options = build_parser().parse_args(arguments)
    err = consoles()[1]
    try:
        return OK if _run(options) else NOT_ALL_WELL
    except ClientError as error:
        err.print(f"resnet50-client: {error}", style="red")
        return CANNOT_RUN
    except OSError as error:  # such as a full disk under --outfile
        err.print(f"resnet50-client: {error}", style="red")
        return CANNOT_RUN
    except KeyboardInterrupt:
        err.print("resnet50-client: interrupted")
        return INTERRUPTED


def _run(options: argparse.Namespace) -> bool:
    labels = read_labels(options.labels) if options.labels else {}
    paths = [Path("/dev/stdin") if path == "-" else Path(path) for path in options.paths]
    images = find_images(paths, named=labels)
    client = AsyncClient(
        options.url,
        protocol=options.protocol,
        model=options.model,
        top=TOP if options.command == "accuracy" else options.top,
        names=read_names(options.names) if options.names else None,
        window=options.window,
        timeout_s=options.timeout_s,
        retry_s=options.retry_s,
    )
    out, err = consoles()
    with OutFile(options.outfile) if options.outfile else nullcontext() as file:
        output = commands.Output(out, err, options.json, file)
        if options.command == "classify":
            return asyncio.run(commands.classify(client, images, labels, output))
        show = "none" if options.json else options.show
        work = commands.accuracy(client, images, labels, output, show=show, min_top1=options.min_top1)
        return asyncio.run(work)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, not {text}")
    return value


def _percent(text: str) -> float:
    value = float(text.removesuffix("%"))
    if not (value == 0 or 1 < value <= 100):  # 0.9 is more likely a slip than nine thousandths
        raise argparse.ArgumentTypeError(f"is in per cent, above 1 up to 100: write 90 rather than 0.9, not {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
