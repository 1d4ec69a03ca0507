"""Reads the files in a .tar or .zip in place; only a compressed tar is unpacked, as a whole."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import IO

from resnet50_client.database import open_notes, pack
from resnet50_client.errors import DatasetError

# An image as it is noted on disk: its name, which of the sources has it, and two numbers that tell the source where.
Entry = tuple[str, int, int, int]
Source = Callable[[str, int, int], bytes]
Skip = Callable[[str, str], None]  # name and reason
LINKS_FOLLOWED = 40  # one after the other, as Linux does
LONGEST_LINK = 4096  # characters of a path
_UNPACK: tuple[Callable[[Path], IO[bytes]], ...] = (gzip.open, bz2.open, lzma.open)  # type: ignore[assignment]


def open_archive(path: Path, sources: list[Source], skip: Skip) -> Iterator[Entry]:
    """The files in an archive. The source that reads them is put behind `sources`, and keeps the archive open.

    Args:
        path: of the archive.
        sources: one is added.
        skip: is called for what is neither a file nor a folder, nor a link to a file within the archive.

    Raises:
        DatasetError: it is no archive, or a damaged one.
    """
    try:
        yield from _open_zip(path, sources, skip) if zipfile.is_zipfile(path) else _open_tar(path, sources, skip)
    except (OSError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DatasetError(
            f"cannot read archive '{path}': {error} (use .tar, .tar.gz, .tar.bz2, .tar.xz or .zip)"
        ) from error


class _Links:
    """Links within an archive, and the files that they may lead to; on disk."""

    def __init__(self) -> None:
        self._db = open_notes(
            "CREATE TABLE file (name PRIMARY KEY, first, second); CREATE TABLE link (name PRIMARY KEY, target)"
        )

    def file(self, name: str, first: int, second: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", (pack(normpath(name)), first, second))

    def link(self, name: str, target: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO link VALUES (?, ?)", (pack(normpath(name)), pack(normpath(target))))

    def resolve(self) -> Iterator[tuple[str, int, int] | str]:
        """Each link with the place of what it leads to; of one that leads to no file its name alone."""
        for name, target in self._db.execute("SELECT name, target FROM link ORDER BY rowid"):
            at = target
            for _ in range(LINKS_FOLLOWED):
                found = self._db.execute("SELECT target FROM link WHERE name = ?", (at,)).fetchone()
                if not found:
                    break
                at = found[0]
            text = name if isinstance(name, str) else name.decode("utf-8", "surrogatepass")
            place = self._db.execute("SELECT first, second FROM file WHERE name = ?", (at,)).fetchone()
            yield (text, *place) if place else text


def _with_links(path: Path, number: int, links: _Links, skip: Skip) -> Iterator[Entry]:
    for found in links.resolve():
        if isinstance(found, str):
            skip(f"{path}/{found}", "links to nothing in their archive")
        else:
            yield f"{path}/{found[0]}", number, *found[1:]


def _open_zip(path: Path, sources: list[Source], skip: Skip) -> Iterator[Entry]:
    archive, number, links = zipfile.ZipFile(path), len(sources), _Links()
    sources.append(partial(_read_zip, archive))
    for index, entry in enumerate(archive.infolist()):
        mode = entry.external_attr >> 16  # of a zip made under Unix
        if stat.S_ISLNK(mode) and entry.file_size <= LONGEST_LINK:
            target = os.fsdecode(_read_zip(archive, entry.filename, index, 0))
            links.link(entry.filename, join(dirname(entry.filename), target))
        elif not entry.is_dir():
            links.file(entry.filename, index, 0)
            yield f"{path}/{entry.filename}", number, index, 0
    yield from _with_links(path, number, links, skip)


def _open_tar(path: Path, sources: list[Source], skip: Skip) -> Iterator[Entry]:
    file, number, links = _plain_tar(path), len(sources), _Links()
    sources.append(partial(_read_at, file, threading.Lock()))
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while member := tar.next():
            tar.members.clear()  # type: ignore[attr-defined] # it would remember them all
            name = member.name.removeprefix("./")
            if member.issym() or member.islnk():
                links.link(name, member.linkname if member.islnk() else join(dirname(name), member.linkname))
            elif member.issparse():
                skip(f"{path}/{name}", "sparse files in a tar")
            elif member.isreg():
                links.file(name, member.offset_data, member.size)
                yield f"{path}/{name}", number, member.offset_data, member.size
            elif not member.isdir():
                skip(f"{path}/{name}", "special files")
    yield from _with_links(path, number, links, skip)


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


def _read_at(file: IO[bytes], alone: threading.Lock, _: str, offset: int, size: int) -> bytes:
    with alone:  # threads share the file's position; os.pread, which has none, is not on Windows
        file.seek(offset)
        data = file.read(size)
    if len(data) < size:
        raise OSError("the archive ends within it")
    return data


def _read_zip(archive: zipfile.ZipFile, _: str, index: int, __: int) -> bytes:
    try:
        return archive.read(archive.infolist()[index])
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise OSError(str(error)) from error
