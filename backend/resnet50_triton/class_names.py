"""Names of the network's classes, in a text file or as the original project has them: pickled in labels.pkl."""

from __future__ import annotations

import pickle
import pickletools
import re
from pathlib import Path

from .errors import BadParameter
from .tensors import CLASSES

# Enough for a dict or a list of numbers and strings. None of these calls anything, so nothing in the file is executed.
_PLAIN = re.compile(
    "PROTO|FRAME|STOP|MARK|EMPTY_DICT|EMPTY_LIST|DICT|LIST|SETITEMS?|APPENDS?|MEMOIZE|((LONG_)?BIN)?(PUT|GET)|"
    "INT|BININT[12]?|LONG1?|STRING|(SHORT_)?BINSTRING|UNICODE|(SHORT_)?BINUNICODE"
)


def read_class_names(path: str | Path) -> list[str]:
    """Read the names of all classes.

    Args:
        path: text, the name of class i on line i, from 0; or .pkl, a pickled list, or dict by class id, of names. It is
            read without executing anything.

    Returns:
        1000 names by class id.

    Raises:
        BadParameter: it cannot be read, holds something else, or another number of names.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        names = _unpickle(data) if path.suffix == ".pkl" else data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise BadParameter(f"cannot read class names {path}: {error.strerror or error}") from error
    except ValueError as error:  # UnicodeDecodeError too
        raise BadParameter(f"class names {path}: {error}") from error
    if len(names) != CLASSES:
        raise BadParameter(f"class names {path}: {len(names)} names, expected {CLASSES}, one for each class")
    return [" ".join(name.split()) for name in names]


def _unpickle(data: bytes) -> list[str]:
    """Raises ValueError where there is more than names in it."""
    try:
        for operation, value, position in pickletools.genops(data):
            is_far = operation.name in ("PUT", "LONG_BINPUT") and value is not None and int(value) > len(data)
            if (
                not _PLAIN.fullmatch(operation.name) or is_far
            ):  # a far place would make the reader allocate all up to it
                raise ValueError(
                    f"byte {position} asks for {operation.name}, which a file of names has no use for; nothing of it "
                    "was executed"
                )
        found = pickle.loads(data)
    except ValueError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its operations do
        raise ValueError(f"is no pickle that can be read ({error})") from error
    if isinstance(found, dict):
        found = [found.get(i) for i in range(len(found))]
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError("holds something else than a list, or a dict by class id, of names")
    return found
