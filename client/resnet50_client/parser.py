"""The options of the command and its subcommands, and what `--help` says."""

from __future__ import annotations

import argparse
from pathlib import Path

from resnet50_client import commands
from resnet50_client.client import WINDOW
from resnet50_client.version import __version__

EXIT_CODES = """\
exit codes:
  0    every image was classified (accuracy: and top-1 is not below --min-top1; doctor: all is well)
  1    some image failed, or top-1 is below --min-top1, or nothing could be scored, or doctor found a fault
  2    wrong options or files, or no server at --url, or nowhere to write
  130  stopped by Ctrl-C; accuracy then prints the figures so far
"""
MAIN_EXAMPLES = """\
examples:
  resnet50-client classify cat.jpg holiday/
  resnet50-client accuracy val/ --labels val/labels.txt --min-top1 60
  resnet50-client perf-data val/ -o perf/
  resnet50-client doctor

"""
CLASSIFY_EXAMPLES = """\
examples:
  resnet50-client classify cat.jpg                       class, score and margin of one image
  resnet50-client classify holiday/ --top 3              all images of a folder, three classes each
  resnet50-client classify a.jpg --url http://card7:8000 over HTTP, on another machine
  resnet50-client classify photos.zip --json | jq .top[0]  one JSON object for each image
  curl -s https://example.org/a.jpg | resnet50-client classify -

The score is the accelerator's integer accumulator: it orders classes, and is no probability. The margin is
the score less that of the runner-up. Where the xclbin answers class ids only, there is neither.

"""
ACCURACY_EXAMPLES = """\
examples:
  resnet50-client accuracy val/ --labels labels.txt
  resnet50-client accuracy val.tar --labels labels.csv --outfile results.csv --report report.html
  resnet50-client accuracy val/ --labels labels.txt --outfile results.csv --resume    go on after a Ctrl-C
  resnet50-client accuracy imagenet/val/ --labels folders --class-map imagenet_class_index.json
  resnet50-client accuracy val/ --labels labels.txt --min-top1 60 --json > summary.json
  resnet50-client accuracy val/ --labels labels.txt --profile --trace run.trace.json
  resnet50-client accuracy val/ --labels labels.txt --url card7 --url card8:9001

labels.txt has a line `<filename> <class id>` for each image, the name without folders:
  ILSVRC2012_val_00000001.JPEG 65
A .csv has the same in two columns, or under a heading (filename,label). `--labels folders` takes the folder of each
image for its class. A class map (JSON, or a key on each line) says which id a key such as n01440764 has.

Top-1 and top-5 are over the images that have a label and were answered. All others are counted and named:
failed, unlabelled (an image without a label), missing (a label without an image).

With --outfile or --journal, every answer is in the journal as soon as it is there. Whatever ends the run, the same
command with --resume goes on, and its figures and files are those of a run without a break.

"""
PERF_DATA_EXAMPLES = """\
examples:
  resnet50-client perf-data val/ -o perf/
  perf_analyzer -m classify -i grpc -u localhost:8001 --input-data perf/classify.json --concurrency-range 32
  perf_analyzer -m resnet50 -i grpc -u localhost:8001 --input-data perf/resnet50.json -b 8 --concurrency-range 8

Writes classify.json (IMAGE: the files as they are) and resnet50.json (PIXELS: decoded here, which needs OpenCV).
The answers of the server at --url go with them, so that perf_analyzer notices a wrong one under load.

"""
DOCTOR_EXAMPLES = """\
examples:
  resnet50-client doctor
  resnet50-client doctor --url https://gateway/triton --token-file token.txt

Looks at this machine and at the server, and prints a fix for each fault. `resnet50-pynq doctor`, on the server,
looks at PYNQ, XRT and the card.

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

    def add(name: str, summary: str, description: str, examples: str) -> argparse.ArgumentParser:
        return subparsers.add_parser(
            name,
            help=summary,
            description=description,
            epilog=examples + EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    classify = add("classify", "name what is in images", "Name what is in images.", CLASSIFY_EXAMPLES)
    classify.add_argument(
        "paths", nargs="+", metavar="PATH", help="image, folder (searched to any depth), archive, list, or - (stdin)"
    )
    _add_labels(classify, required=False)
    classify.add_argument("--top", type=_positive, default=1, metavar="K", help="classes for each image (default 1)")
    classify.add_argument("--json", action="store_true", help="print one JSON object a line, one for each image")
    _add_results(classify)
    _add_server(classify)

    accuracy = add(
        "accuracy",
        "measure top-1 and top-5 accuracy",
        "Measure top-1 and top-5 accuracy over labelled images, with 95 % intervals.",
        ACCURACY_EXAMPLES,
    )
    accuracy.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="folder (searched to any depth), .tar or .zip, or a list (.txt, .lst) with a path on each line",
    )
    _add_labels(accuracy, required=True)
    accuracy.add_argument("--min-top1", type=_percent, metavar="PERCENT", help="exit with 1 if top-1 is below this")
    accuracy.add_argument(
        "--allow-timing-card",
        action="store_true",
        help="run even on a card that computes nothing; such a run never passes",
    )
    accuracy.add_argument(
        "--show",
        choices=("auto", "all", "wrong", "none"),
        default="auto",
        help=f"images to print a row for (default: all if at most {commands.ROWS_BY_DEFAULT}, else none)",
    )
    accuracy.add_argument("--json", action="store_true", help="print the summary as one JSON object, and no rows")
    _add_results(accuracy)
    accuracy.add_argument(
        "--report", type=Path, metavar="FILE", help="write an HTML page with plots, the worst classes and the errors"
    )
    accuracy.add_argument(
        "--journal", type=Path, metavar="FILE", help="where to keep the journal (default: OUTFILE.journal)"
    )
    accuracy.add_argument("--resume", action="store_true", help="go on where the journal of an earlier run ends")
    accuracy.add_argument(
        "--profile", action="store_true", help="times of each stage: on screen, in --outfile and as a trace file"
    )
    accuracy.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="the trace file of --profile, for ui.perfetto.dev (default: OUTFILE.trace.json, or profile.trace.json)",
    )
    _add_server(accuracy)

    perf_data = add(
        "perf-data",
        "write input files for perf_analyzer",
        "Write input files for perf_analyzer, with the right answers in them.",
        PERF_DATA_EXAMPLES,
    )
    perf_data.add_argument("paths", nargs="+", metavar="PATH", help="image, folder, archive or list")
    perf_data.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="where to write")
    perf_data.add_argument(
        "--limit", type=_positive, default=100, metavar="N", help="at most so many images (default 100)"
    )
    _add_server(perf_data, model=False)

    doctor = add("doctor", "find out why it does not work", "Find out why it does not work.", DOCTOR_EXAMPLES)
    _add_server(doctor)
    return parser


def _add_labels(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--labels",
        required=required,
        metavar="FILE",
        help="right answers (.txt or .csv), or 'folders': each image's folder is its class",
    )
    parser.add_argument(
        "--class-map", type=Path, metavar="FILE", help="class ids of keys such as n01440764 (.json or text)"
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--outfile", type=Path, metavar="FILE", help="write every answer to FILE (.csv or .jsonl)")
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="class names, line i for class i (default: ask the server)"
    )


def _add_server(parser: argparse.ArgumentParser, *, model: bool = True) -> None:
    server = parser.add_argument_group("server")
    server.add_argument(
        "--url",
        action="append",
        metavar="URL",
        help="host:port or http://host:port (default localhost:8001, over HTTP localhost:8000); with TLS grpcs:// or "
        "https://; several share the images",
    )
    server.add_argument("--protocol", choices=("grpc", "http"), help="default grpc, or what --url says")
    if model:
        server.add_argument("--model", metavar="NAME", help="model to ask (default classify, with --pixels resnet50)")
        server.add_argument("--pixels", action="store_true", help="decode here, and send pixels (needs OpenCV)")
        server.add_argument(
            "--shm", action="store_true", help="pass images in shared memory, to a server on this machine"
        )
    server.add_argument(
        "--window", type=_positive, metavar="N", help=f"images under way at once (default {WINDOW} for each --url)"
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
    access = parser.add_argument_group("access")
    access.add_argument("--tls-ca", type=Path, metavar="FILE", help="certificates to trust (PEM; default the system's)")
    access.add_argument("--tls-cert", type=Path, metavar="FILE", help="our certificate (PEM), if the server wants one")
    access.add_argument("--tls-key", type=Path, metavar="FILE", help="the private key of --tls-cert (PEM)")
    access.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="sent with each request; can be repeated"
    )
    access.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds a token, sent as 'authorization: Bearer TOKEN'"
    )


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
