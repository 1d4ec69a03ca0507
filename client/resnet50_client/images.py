"""Find images: in folders, archives and lists. Nothing is decoded here, and no image is read before its turn."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from resnet50_client.errors import DatasetError
from resnet50_client.labels import read_lines

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})  # what the server decodes
LISTS = frozenset({".txt", ".lst"})
ARCHIVES = frozenset({".tar", ".tgz", ".gz", ".bz2", ".xz", ".zip"})
_UNPACK: tuple[Callable[[Path], IO[bytes]], ...] = (gzip.open, bz2.open, lzma.open)  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Item:
    """One image: its path, or that of its archive with its own behind it, and how to read it."""

    name: str
    read: Callable[[], bytes]  # raises OSError


@dataclass(frozen=True)
class Images:
    """Images to classify, in order, and how many other files were passed over on the way."""

    items: tuple[Item, ...]
    ignored: int = 0


def find_images(paths: Iterable[str | os.PathLike[str]], named: Collection[str] = frozenset()) -> Images:
    """List the images at some paths.

    Args:
        paths: folders, searched to any depth; archives (.tar, plain or compressed, .zip); lists (.txt, .lst: a path on
            each line, relative to the list's folder); any other file is an image, whatever its suffix.
        named: file names that are images even if their suffix does not say so (those with a label).

    Returns:
        Images in the order given; those of a folder or archive sorted.

    Raises:
        DatasetError: a path that does not exist or cannot be read, or a place without an image.
    """
    found: list[Item] = []
    ignored = 0
    for path in map(Path, paths):
        if path.is_dir():
            files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]  # noqa: PTH118
            inside = [item_of_file(file) for file in sorted(files)]  # names alone: a Path takes ten times the memory
        elif not path.exists():
            raise DatasetError(f"no such file or folder: '{path}'")
        elif path.suffix.lower() in LISTS:
            found += _read_list(path)
            continue
        elif path.suffix.lower() in ARCHIVES:
            inside = sorted(_open_archive(path), key=lambda item: item.name)
        else:
            found.append(item_of_file(path))
            continue
        images = [item for item in inside if _is_image(PurePosixPath(item.name), named)]
        if not images:
            raise DatasetError(f"no images in '{path}' ({len(inside)} files; looked for {', '.join(sorted(SUFFIXES))})")
        ignored += len(inside) - len(images)
        found += images
    return Images(tuple(found), ignored)


def item_of_file(path: str | os.PathLike[str]) -> Item:
    """The image in a file."""
    name = os.fspath(path)
    return Item(name, partial(_read_file, name))


def _read_file(name: str) -> bytes:
    return Path(name).read_bytes()


def _is_image(path: PurePosixPath, named: Collection[str]) -> bool:
    return path.name in named or (path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def _read_list(path: Path) -> list[Item]:
    items = [item_of_file(path.parent / line) for line in read_lines(path) if line.strip()]
    if not items:
        raise DatasetError(f"{path}: no images in it; expected a path on each line")
    return items


def _open_archive(path: Path) -> Iterator[Item]:
    try:
        if zipfile.is_zipfile(path):
            archive = zipfile.ZipFile(path)  # stays open for the items
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield Item(f"{path}/{entry.filename}", partial(_read_zip, archive, entry))
            return
        file = _plain_tar(path)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isreg():
                    read = partial(_read_at, file, member.offset_data, member.size)
                    yield Item(f"{path}/{member.name.removeprefix('./')}", read)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DatasetError(
            f"cannot read archive '{path}': {error} (use .tar, .tar.gz, .tar.bz2, .tar.xz or .zip)"
        ) from error


def _plain_tar(path: Path) -> IO[bytes]:
    """The tar itself; of a compressed one an unpacked copy without a name, since images are read in any order."""
    if tarfile.is_tarfile(path):
        for unpack in _UNPACK:
            copy = tempfile.TemporaryFile()  # noqa: SIM115 - stays open for the items
            try:
                with unpack(path) as packed:
                    shutil.copyfileobj(packed, copy)
                copy.seek(0)
                return copy
            except (gzip.BadGzipFile, lzma.LZMAError, OSError) as error:
                copy.close()
                if isinstance(error, OSError) and error.errno:  # such as a full disk, not another format
                    raise
    return path.open("rb")


def _read_at(file: IO[bytes], offset: int, size: int) -> bytes:
    data = os.pread(file.fileno(), size, offset)
    if len(data) < size:
        raise OSError("the archive ends within it")
    return data


def _read_zip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise OSError(str(error)) from error
