"""`resnet50-pynq download`"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "fetch the published xclbin and FC weights (for the shell xilinx_u250_xdma_201830_2)"
_LINE_S = 10.0  # between two lines of progress where the output is no terminal
_REDRAW_S = 0.2


def add_arguments(parser: ArgumentParser) -> None:
    """Where to, what, and from where."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--only", choices=("xclbin", "fcweights"), help="one of the two (default: both)")
    parser.add_argument("--xclbin-url", metavar="URL", help="a mirror of resnet50.xclbin")
    parser.add_argument("--fcweights-url", metavar="URL", help="a mirror of fcweights.csv")


def run(args: Namespace) -> int:
    """Fetch the files, resuming what was cut; both are checked by MD5."""
    from dataclasses import replace

    from ..download import FCWEIGHTS, XCLBIN, fetch

    for kind, file, mirror in (("xclbin", XCLBIN, args.xclbin_url), ("fcweights", FCWEIGHTS, args.fcweights_url)):
        if args.only in (None, kind):
            file = replace(file, url=mirror or file.url)
            show = _Progress(file.name)
            path = fetch(file, args.output, show, lambda text: print(f"\n{text}", file=sys.stderr))
            show.end()
            print(f"{path}: MD5 {file.md5}, as published")
    return 0


class _Progress:
    """Progress: one line that is redrawn on a terminal, or else a line from time to time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._redraws = sys.stderr.isatty()
        self._start_s = self._shown_s = time.monotonic()
        self._first: int | None = None

    def __call__(self, here: int, whole: int | None) -> None:
        now_s = time.monotonic()
        self._first = here if self._first is None else self._first
        if now_s - self._shown_s < (_REDRAW_S if self._redraws else _LINE_S):
            return
        self._shown_s = now_s
        rate = (here - self._first) / 1e6 / (now_s - self._start_s)
        share = f" of {whole / 1e6:.1f} MB, {100 * here / whole:.0f} %" if whole else " MB"
        end = "\r" if self._redraws else "\n"
        print(f"{self._name}: {here / 1e6:.1f}{share}, {rate:.1f} MB/s ", end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the redrawn line."""
        if self._redraws and self._first is not None:
            print(file=sys.stderr)
