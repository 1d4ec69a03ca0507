"""`resnet50-pynq doctor`"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from .arguments import add_files

HELP = "check what serving needs, and print a fix for each fault"


def add_arguments(parser: ArgumentParser) -> None:
    """The deployment to check; each part may be left out."""
    add_files(parser)
    parser.add_argument("--card", help="the card to check (default: the one that the xclbin is for)")
    parser.add_argument("--model-repository", type=Path, metavar="DIRECTORY", help="a model repository to check")
    parser.add_argument(
        "--url", help="HTTP address of a server that must be running (default: 127.0.0.1:8000, if there is one)"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: Namespace) -> int:
    """Every check, and 1 if one failed."""
    from ..standalone.doctor import as_json, as_text, examine, passed
    from ..standalone.doctor.finding import Wanted

    findings = examine(Wanted(args.xclbin, args.fcweights, args.card, args.url, args.model_repository))
    print(as_json(findings) if args.json else as_text(findings))
    return 0 if passed(findings) else 1
