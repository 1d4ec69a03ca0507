"""The FC weights file: read it, check it, write it.

The kernel reads 1000 x 2048 int8 values, row-major (class, feature), from its PLRAM for every image. The published file
is a CSV of one line with a trailing comma. Also read here: 1000 lines of 2048 fields, and NumPy's .npy.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import BadWeights
from .files import write_atomically
from .tensors import CLASSES, FEATURES

WEIGHTS = CLASSES * FEATURES

_NPY_MAGIC = b"\x93NUMPY"
_MIN, _MAX = -128, 127
# Looking each field up is both fast and strict: only a field that is not here is looked at closely.
_VALUES = {str(value).encode(): value for value in range(_MIN, _MAX + 1)}
_INTEGER = re.compile(rb"[+-]?[0-9]{1,100}")


def load_fc_weights(path: str | Path) -> NDArray[np.int8]:
    """Read the weights of the fully connected layer.

    Args:
        path: a CSV (one line of 2,048,000 integers or 1000 lines of 2048, trailing commas allowed) or a .npy of any
            integer type, of shape (1000, 2048) or (2048000,).

    Returns:
        int8 (1000, 2048), C-contiguous.

    Raises:
        BadWeights: naming the file, the place in it, what is there and what belongs there.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadWeights(f"cannot read fc weights {path}: {error.strerror or error}") from error
    if data.startswith(_NPY_MAGIC):
        return _from_npy(path)
    if path.suffix == ".npy":
        raise BadWeights(
            f"fc weights {path}: not a .npy file (it starts with {data[:6].hex(' ')}, not {_NPY_MAGIC.hex(' ')})"
        )
    return _from_csv(path, data)


def save_fc_weights(path: str | Path, weights: NDArray[Any]) -> None:
    """Write weights in the published CSV format: one line, comma separated, with a trailing comma.

    Args:
        path: the file to write or replace, in one step.
        weights: integers -128..127, (1000, 2048) or (2048000,).

    Raises:
        BadWeights: the array is not of that shape, type or range.
        SetupError: the file cannot be written.
    """
    checked = _check(np.asarray(weights), "fc weights to save")
    write_atomically(path, (",".join(map(str, checked.ravel().tolist())) + ",").encode())


def _from_npy(path: Path) -> NDArray[np.int8]:
    try:
        # Mapped, because a header that promises more than the file holds must not allocate it.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header raises whatever Python's tokenizer and parser do
        raise BadWeights(f"fc weights {path}: not a readable .npy file ({error})") from error
    return _check(array, f"fc weights {path}")


def _check(array: NDArray[Any], source: str) -> NDArray[np.int8]:
    """Hold an array to shape, type and range; the result is a copy of its own."""
    if array.dtype.kind not in "iu":
        raise BadWeights(f"{source}: values are {array.dtype}, expected integers {_MIN}..{_MAX}")
    if array.shape not in ((CLASSES, FEATURES), (WEIGHTS,)):
        hint = " (transposed?)" if array.shape == (FEATURES, CLASSES) else ""
        raise BadWeights(f"{source}: shape is {array.shape}{hint}, expected ({CLASSES}, {FEATURES}) or ({WEIGHTS},)")
    array = array.reshape(CLASSES, FEATURES)
    outside = (array < _MIN) | (array > _MAX)
    if outside.any():
        row, column = np.unravel_index(int(outside.argmax()), array.shape)
        raise BadWeights(
            f"{source}: value at [{row}, {column}] is {array[row, column]}, expected {_MIN}..{_MAX} "
            f"({int(outside.sum())} values are out of range)"
        )
    return np.array(array, dtype=np.int8, order="C")


def _from_csv(path: Path, data: bytes) -> NDArray[np.int8]:
    lines = data.rstrip().split(b"\n")
    if len(lines) not in (1, CLASSES):
        raise BadWeights(
            f"fc weights {path}: {len(lines)} lines, expected one line of {WEIGHTS} fields or {CLASSES} of {FEATURES}"
        )
    expected = WEIGHTS // len(lines)
    values = np.empty((len(lines), expected), np.int8)
    for number, line in enumerate(lines, start=1):
        fields = line.strip().removesuffix(b",").split(b",")
        try:
            row = [_VALUES[field] for field in fields]
        except KeyError:
            row = [_parse(path, number, position, field) for position, field in enumerate(fields, start=1)]
        if len(row) != expected:
            raise BadWeights(
                f"fc weights {path}: line {number} of {len(lines)} has {len(row)} fields, expected {expected}"
            )
        values[number - 1] = row
    return values.reshape(CLASSES, FEATURES)


def _parse(path: Path, line: int, position: int, field: bytes) -> int:
    """The value of a field that is written in an unusual way (" 7", "+7", "007"), or the error that it is."""
    text = field.strip()
    if not _INTEGER.fullmatch(text):
        found = "nothing" if not text else ascii(text[:20].decode("latin-1"))
        raise BadWeights(
            f"fc weights {path}: line {line}, field {position}: found {found}, expected an integer {_MIN}..{_MAX}"
        )
    value = int(text)
    if not _MIN <= value <= _MAX:
        raise BadWeights(
            f"fc weights {path}: line {line}, field {position}: {value} is out of range, expected {_MIN}..{_MAX}"
        )
    return value
