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
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from resnet50_client.errors import DatasetError
from resnet50_client.labels import lines_of
from resnet50_client.ondisk import DiskList

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})  # what the server decodes
LISTS = frozenset({".txt", ".lst"})
ARCHIVES = frozenset({".tar", ".tgz", ".gz", ".bz2", ".xz", ".zip"})
_UNPACK: tuple[Callable[[Path], IO[bytes]], ...] = (gzip.open, bz2.open, lzma.open)  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Item:
    """One image: its path, or that of its archive with its own behind it, and how to read it."""

    name: str
    read: Callable[[], bytes]  # raises OSError


# An image as it is noted on disk: its name, which of the sources has it, and two numbers that tell the source where.
_Entry = tuple[str, int, int, int]
_Source = Callable[[str, int, int], bytes]


class Items(Sequence[Item]):
    """Any number of images; on disk, all but the one that is looked at."""

    def __init__(self, entries: DiskList, sources: Sequence[_Source]) -> None:
        """Take over entries, and the ways to read them."""
        self._entries = entries
        self._sources = sources

    def starting_at(self, position: int) -> Iterator[Item]:
        """The images from a position on."""
        return map(self._item, self._entries.starting_at(position))

    def __iter__(self) -> Iterator[Item]:
        return self.starting_at(0)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        found = self._entries[index]
        return list(map(self._item, found)) if isinstance(index, slice) else self._item(found)

    def _item(self, entry: _Entry) -> Item:
        name, source, *place = entry
        return Item(name, partial(self._sources[source], name, *place))


@dataclass(frozen=True)
class Images:
    """Images to classify, in order, and how many other files were passed over on the way."""

    items: Items
    ignored: int = 0


def find_images(paths: Iterable[str | os.PathLike[str]], named: Container[str] = frozenset()) -> Images:
    """List the images at some paths. The list is on disk.

    Args:
        paths: folders, searched to any depth; archives (.tar, plain or compressed, .zip); lists (.txt, .lst: a path on
            each line, relative to the list's folder); any other file is an image, whatever its suffix.
        named: file names that are images even if their suffix does not say so (those with a label).

    Returns:
        Images in the order given; those of a folder or archive sorted.

    Raises:
        DatasetError: a path that does not exist or cannot be read, or a place without an image.
    """
    found = DiskList(columns=4)
    sources: list[_Source] = [_read_file]
    ignored = 0
    for path in map(Path, paths):
        if path.is_dir():
            inside = _walk(path)
        elif not path.exists():
            raise DatasetError(f"no such file or folder: '{path}'")
        elif path.suffix.lower() in LISTS:
            found.extend(_read_list(path))
            continue
        elif path.suffix.lower() in ARCHIVES:
            inside = _open_archive(path, sources)
        else:
            found.append(_file(path))
            continue
        images, others = DiskList(columns=4), 0
        for entry in inside:
            if _is_image(PurePosixPath(entry[0]), named):
                images.append(entry)
            else:
                others += 1
        if not images:
            raise DatasetError(f"no images in '{path}' ({others} files; looked for {', '.join(sorted(SUFFIXES))})")
        ignored += others
        found.extend(images.sorted())
    return Images(Items(found, sources), ignored)


def item_of_file(path: str | os.PathLike[str]) -> Item:
    """The image in a file."""
    name = os.fspath(path)
    return Item(name, partial(_read_file, name))


def _read_file(name: str, *_: int) -> bytes:
    return Path(name).read_bytes()


def _file(path: str | os.PathLike[str]) -> _Entry:
    return os.fspath(path), 0, 0, 0  # the first source reads files


def _is_image(path: PurePosixPath, named: Container[str]) -> bool:
    return (path.suffix.lower() in SUFFIXES and not path.name.startswith(".")) or path.name in named


def _walk(path: Path) -> Iterator[_Entry]:
    """The files in a folder and below; links to folders are not followed. Unlike os.walk, lists no folder in memory."""
    folders = [os.fspath(path)]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif not entry.is_dir():
                        yield _file(entry.path)
        except OSError as error:
            raise DatasetError(f"cannot read the folder '{folder}': {error.strerror}") from error


def _read_list(path: Path) -> Iterator[_Entry]:
    empty = True
    for line in lines_of(path):
        if line.strip():
            empty = False
            yield _file(path.parent / line)
    if empty:
        raise DatasetError(f"{path}: no images in it; expected a path on each line")


def _open_archive(path: Path, sources: list[_Source]) -> Iterator[_Entry]:
    """The files in an archive; the source that reads them is put behind `sources`, and keeps the archive open."""
    number = len(sources)
    try:
        if zipfile.is_zipfile(path):
            archive = zipfile.ZipFile(path)
            sources.append(partial(_read_zip, archive))
            for index, entry in enumerate(archive.infolist()):
                if not entry.is_dir():
                    yield f"{path}/{entry.filename}", number, index, 0
            return
        file = _plain_tar(path)
        sources.append(partial(_read_at, file))
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined] # it would remember them all
                if member.isreg():
                    yield f"{path}/{member.name.removeprefix('./')}", number, member.offset_data, member.size
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


def _read_at(file: IO[bytes], _: str, offset: int, size: int) -> bytes:
    data = os.pread(file.fileno(), size, offset)
    if len(data) < size:
        raise OSError("the archive ends within it")
    return data


def _read_zip(archive: zipfile.ZipFile, _: str, index: int, __: int) -> bytes:
    try:
        return archive.read(archive.infolist()[index])
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise OSError(str(error)) from error
