"""Find images: in folders, archives and lists. Nothing is decoded here, and no image is read before its turn."""

from __future__ import annotations

import functools
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Union, cast

import numpy as np
import numpy.typing as npt

from resnet50_client.archives import Entry, Source, open_archive
from resnet50_client.database import CHUNK, open_notes, pack, unpack
from resnet50_client.errors import DatasetError
from resnet50_client.formats import SUFFIXES, png
from resnet50_client.labels import lines_of

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

LISTS = frozenset({".txt", ".lst"})
ARCHIVES = frozenset({".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".zip"})
SCHEMA = "CREATE TABLE found (position INTEGER PRIMARY KEY, place INTEGER, sorting, file, source, offset, size)"
STDIN = "-"
EXAMPLES = 10  # files that are named for each reason


@dataclass(frozen=True, slots=True)
class Item:
    """One image: its path, or that of its archive with its own behind it, and how to read it."""

    name: str
    read: Callable[[], bytes]  # raises OSError


# One image: the path of its file, what is in the file, a picture, or something with a name that can be read.
Image = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, "npt.NDArray[np.uint8]", "Picture", Item]


@dataclass
class Skipped:
    """Files that are no images, by the reason why; of each reason the first few."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    known: Container[str] = frozenset()  # real paths of those that are not counted, such as the labels

    def add(self, name: str, reason: str) -> None:
        """Count one."""
        if os.path.realpath(name) in self.known:
            return
        self.counts[reason] += 1
        if self.counts[reason] <= EXAMPLES:
            self.examples.setdefault(reason, []).append(name)

    @property
    def total(self) -> int:
        """Of all reasons."""
        return sum(self.counts.values())

    def __str__(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.counts.most_common())


class Items(Sequence[Item]):
    """Any number of images; on disk, all but the one that is looked at."""

    def __init__(self, db: sqlite3.Connection, sources: Sequence[Source]) -> None:
        """Take over what was found, and the ways to read it."""
        self._db = db
        self._sources = sources

    def __iter__(self) -> Iterator[Item]:
        last = 0
        while rows := self._db.execute(
            "SELECT position, file, source, offset, size FROM found WHERE position > ? ORDER BY position LIMIT ?",
            (last, CHUNK),
        ).fetchall():
            last = rows[-1][0]
            yield from (self._item(*row[1:]) for row in rows)

    def __len__(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM found").fetchone()[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = 1 + (range(len(self))[index] if index < 0 else index)
        row = self._db.execute(
            "SELECT file, source, offset, size FROM found WHERE position = ?", (position,)
        ).fetchone()
        if row is None:
            raise IndexError(f"no image {index}: there are {len(self)}")
        return self._item(*row)

    def _item(self, file: Any, source: int, offset: int, size: int) -> Item:
        name = unpack(file)
        return Item(name, partial(self._sources[source], name, offset, size))


@dataclass(frozen=True)
class Images:
    """Images to classify, in order, and the files that were skipped on the way."""

    items: Items
    skipped: Skipped


def find_images(
    paths: Iterable[str | os.PathLike[str]],
    named: Container[str] = frozenset(),
    beside: Iterable[str | os.PathLike[str]] = (),
) -> Images:
    """List the images at some paths. The list is on disk.

    Args:
        paths: folders, searched to any depth, links included; archives (.tar, plain or compressed, .zip); lists (.txt,
            .lst: a path on each line, relative to the list's folder); any other file is an image, whatever its suffix.
            "-" is an image on standard input.
        named: file names that are images even if their suffix does not say so (those with a label).
        beside: files in the folders that are known to be something else, such as the labels.

    Returns:
        Images in the order given; those of a folder or archive sorted. Every other file is counted, with its reason.

    Raises:
        DatasetError: a path that does not exist or cannot be read, or a place without an image.
    """
    db = open_notes(SCHEMA.replace("found", "listed"))
    sources: list[Source] = [_read_file]
    skipped = Skipped(known=frozenset(map(os.path.realpath, beside)))
    insert = "INSERT INTO listed (place, sorting, file, source, offset, size) VALUES (?, ?, ?, ?, ?, ?)"
    for place, path in enumerate(map(Path, paths)):
        if not path.exists() and str(path) != STDIN:
            raise DatasetError(f"no such file or folder: '{path}'")
        is_searched = path.is_dir() or path.suffix.lower() in ARCHIVES
        if path.is_dir():
            entries = _walk(path, named, skipped)
        elif is_searched:
            archive = open_archive(path, sources, skipped.add)
            entries = (entry for entry in archive if _is_image(entry[0], named, skipped))
        else:
            entries = _read_list(path) if path.suffix.lower() in LISTS else iter([_file(path)])
        before = skipped.total
        rows = ((place, pack(name) if is_searched else None, pack(name), *where) for name, *where in entries)
        db.execute("BEGIN")
        added = db.executemany(insert, rows).rowcount
        db.execute("COMMIT")
        if added <= 0:
            others = skipped.total - before
            why = f"{others} files: {skipped}" if others else "0 files"
            raise DatasetError(f"no images in '{path}' ({why}; looked for {', '.join(sorted(SUFFIXES))})")
    db.executescript(
        f"{SCHEMA}; INSERT INTO found SELECT NULL, place, sorting, file, source, offset, size FROM listed "
        "ORDER BY place, sorting, position; DROP TABLE listed"
    )
    return Images(Items(db, sources), skipped)


def as_images(images: Image | Iterable[Image]) -> Iterable[Image]:
    """One image, which may well be iterable, as a list of one; several as they are."""
    is_one = isinstance(images, (str, os.PathLike, bytes, bytearray, memoryview, Item)) or _is_picture(images)
    if is_one or (isinstance(images, np.ndarray) and _is_one_array(images)):
        return [cast("Image", images)]
    return cast("Iterable[Image]", images)


def as_item(image: Image, name: str) -> Item:
    """Any image as an Item.

    Args:
        image: what it is.
        name: for one that has none of its own.

    Raises:
        DatasetError: something else than an image.
    """
    if isinstance(image, Item):
        return image
    if isinstance(image, (bytes, bytearray, memoryview)):
        return Item(name, lambda: bytes(image))
    if isinstance(image, (str, os.PathLike)):
        path = os.fspath(image)
        return Item(path, partial(_read_file, path))
    if isinstance(image, np.ndarray) and _is_one_array(image) and image.dtype == np.uint8:
        return Item(name, image.tobytes if image.ndim == 1 else partial(_png_of_array, image))
    if _is_picture(image):
        return Item(name, partial(png, cast("Picture", image)))
    found = f"an array of {image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise DatasetError(
        f"{name} is {found}; an image is a path, encoded bytes, a picture of Pillow, or a uint8 array "
        "(H, W, 3) in RGB or (H, W) in grey"
    )


def _is_one_array(array: npt.NDArray[Any]) -> bool:
    return array.ndim in (1, 2) or (array.ndim == 3 and array.shape[2] == 3)


def _is_picture(image: object) -> bool:
    return any(f"{kind.__module__}.{kind.__name__}" == "PIL.Image.Image" for kind in type(image).__mro__)


def _png_of_array(array: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image  # slow to load, and only needed here

    return png(Image.fromarray(np.ascontiguousarray(array)))


def _read_file(name: str, *_: int) -> bytes:
    return _read_stdin() if name == STDIN else Path(name).read_bytes()


@functools.cache
def _read_stdin() -> bytes:
    return sys.stdin.buffer.read()


def _file(path: str | os.PathLike[str]) -> Entry:
    return os.fspath(path), 0, 0, 0  # the first source reads files


def _is_image(name: str, named: Container[str], skipped: Skipped) -> bool:
    """Whether a file is one by its name; if not, it is counted."""
    path = PurePosixPath(name)
    if path.name in named or (path.suffix.lower() in SUFFIXES and not path.name.startswith(".")):
        return True
    suffix = f"with the suffix {path.suffix.lower()}" if path.suffix else "without a suffix"
    skipped.add(name, "hidden" if path.name.startswith(".") else suffix)
    return False


def _walk(path: Path, named: Container[str], skipped: Skipped) -> Iterator[Entry]:
    """The images in a folder and below, through links too. Unlike os.walk, lists no folder in memory."""
    folders = [os.fspath(path)]
    seen = set()  # folders that a link leads back to
    while folders:
        folder = folders.pop()
        try:
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                skipped.add(folder, "links to a folder that is searched already")
                continue
            seen.add((status.st_dev, status.st_ino))
            has_images = False
            with os.scandir(folder) as entries:
                for entry in entries:
                    kind = _kind(entry)
                    if kind == "folder":
                        folders.append(entry.path)
                        has_images = True  # perhaps: it is looked at by itself
                    elif kind != "file":
                        skipped.add(entry.path, kind)
                    elif _is_image(entry.path, named, skipped):
                        has_images = True
                        yield _file(entry.path)
            if not has_images:
                skipped.add(folder, "folders without an image")
        except OSError as error:
            raise DatasetError(f"cannot read the folder '{folder}': {error.strerror}") from error


def _kind(entry: os.DirEntry[str]) -> str:
    """A folder or a file, perhaps behind a link; or why it is neither."""
    try:
        if entry.is_dir():
            return "folder"
        entry.stat()
        return "file" if entry.is_file() else "special files"
    except OSError:  # nothing is there, or a link leads round to itself
        return "broken links"


def _read_list(path: Path) -> Iterator[Entry]:
    return (_file(path.parent / line) for line in lines_of(path) if line.strip())
