# PYTHON_ARGCOMPLETE_OK
"""The command `resnet50-pynq`; what each subcommand takes and does is in its module of `commands`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import __version__
from .commands import COMMANDS
from .commands.arguments import WrongUsage
from .errors import Resnet50Error

EPILOG = """\
examples:
  resnet50-pynq build-sample -o build/sample
  resnet50-pynq serve --sample build/sample
  resnet50-pynq serve --xclbin resnet50.xclbin --fcweights fcweights.csv --card xrt:0
  resnet50-pynq make-repository -o models --xclbin card.xclbin --fcweights fcweights.csv --labels names.txt
  resnet50-pynq run --xclbin card.xclbin --fcweights fcweights.csv --pixels in.npy -o out.npz
  resnet50-pynq infer --xclbin card.xclbin --fcweights fcweights.csv --img_path photos --max_bs 16 --labels labels.txt
  resnet50-pynq bench --xclbin card.xclbin --fcweights fcweights.csv --bs 100
  resnet50-pynq doctor --xclbin resnet50.xclbin --fcweights fcweights.csv --card xrt:0
  resnet50-pynq capacity --rate 1e6 --latency-ms 50 --cards-per-machine 4

exit codes: 0 done, 1 failed (the reason is printed), 2 wrong usage, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit."""
    # SIGTERM ends the command as Ctrl-C does: it stops servers and removes temporary files.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may follow
        import argcomplete

        argcomplete.autocomplete(parser)
    args = parser.parse_args(argv)
    try:
        code = COMMANDS[args.command].run(args)
    except WrongUsage as error:
        print(f"resnet50-pynq {args.command}: {error}", file=sys.stderr)
        code = 2
    except Resnet50Error as error:
        print(f"resnet50-pynq: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def build_parser() -> argparse.ArgumentParser:
    """The options of the command and its subcommands."""
    parser = argparse.ArgumentParser(
        prog="resnet50-pynq",
        description="Serve the Xilinx ResNet50-PYNQ accelerator, or a software card that computes the same bits.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        text = command.HELP
        command.add_arguments(subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + "."))
    return parser


if __name__ == "__main__":
    main()
