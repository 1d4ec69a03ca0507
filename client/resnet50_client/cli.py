# PYTHON_ARGCOMPLETE_OK
"""The command `resnet50-client`; what each subcommand takes and does is in its module of `commands`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from collections.abc import Sequence

from resnet50_client.commands import COMMANDS
from resnet50_client.commands.interrupt import INTERRUPTED
from resnet50_client.errors import ClientError
from resnet50_client.screen import consoles
from resnet50_client.version import __version__

OK, NOT_ALL_WELL, CANNOT_RUN = 0, 1, 2
EXIT_CODES = """\
exit codes:
  0    every image was classified (accuracy: and top-1 is not below --min-top1; doctor: no fault; page: ended)
  1    an image failed, or top-1 is below --min-top1, or nothing could be scored, or doctor found a fault
  2    wrong options or files, or no server at --url, or nowhere to write
  130  stopped by Ctrl-C; accuracy then prints the figures so far; a second Ctrl-C exits at once
"""
EXAMPLES = """\
examples:
  resnet50-client classify cat.jpg holiday/
  resnet50-client page
  resnet50-client accuracy val/ --labels val/labels.txt --min-top1 60
  resnet50-client perf-data val/ -o perf/
  resnet50-client doctor

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: without the program's name; None takes those of the process.

    Returns:
        The exit code, as `--help` lists them.
    """
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may follow
        import argcomplete

        argcomplete.autocomplete(parser)
    options = parser.parse_args(arguments)
    err = consoles()[1]
    try:
        return OK if COMMANDS[options.command].run(options) else NOT_ALL_WELL
    except ClientError as error:
        err.print(f"resnet50-client: {error}", style="red")
        return CANNOT_RUN
    except sqlite3.OperationalError as error:
        where = options.outfile.with_suffix(".sqlite") if getattr(options, "outfile", None) else "a temporary file"
        err.print(f"resnet50-client: cannot write to {where}: {error} (TMPDIR names another folder)", style="red")
        return CANNOT_RUN
    except OSError as error:  # such as a full disk under --outfile
        err.print(f"resnet50-client: {error}", style="red")
        return CANNOT_RUN
    except KeyboardInterrupt:
        err.print("resnet50-client: interrupted")
        return INTERRUPTED


def run() -> None:
    """The program: run the command and end the process."""
    try:
        code = main()
    except KeyboardInterrupt:  # a second one, before the work began
        code = INTERRUPTED
    if code == INTERRUPTED:  # a thread may hang in a file that it reads: Python would wait for it
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def build_parser() -> argparse.ArgumentParser:
    """The options of the command and its subcommands."""
    parser = argparse.ArgumentParser(
        prog="resnet50-client",
        description="Classify images on a Triton server that runs resnet50-pynq, and measure its accuracy.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=command.HELP,
            description=command.HELP[0].upper() + command.HELP[1:].replace("%%", "%") + ".",
            epilog=command.EXAMPLES + EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
    return parser


if __name__ == "__main__":
    run()
