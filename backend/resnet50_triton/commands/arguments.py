"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import math
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path


class WrongUsage(Exception):
    """Arguments that do not go together; the message says which do."""


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def amount(text: str) -> float:
    """A finite number from 0 up."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ArgumentTypeError(f"'{text}' is not a number from 0 up")
    return number


def add_files(parser: ArgumentParser | argparse._ArgumentGroup, required: bool = False) -> None:
    """The two files that every card needs."""
    parser.add_argument("--xclbin", type=Path, required=required, help="the xclbin")
    parser.add_argument(
        "--fcweights", type=Path, required=required, help="the FC weights: 1000 x 2048 int8, CSV or .npy"
    )
