"""What is kept of each image, on disk: memory stays flat, however many there are.

Each list or dictionary is a temporary SQLite database. Small ones never leave SQLite's cache; the file of a larger one
is in the folder that TMPDIR names and has no name of its own, so nothing is left of it, however the process ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

CACHE_KIB = 512  # of each, filled before anything is written to a file
CHUNK = 1000  # rows that are written or read at a time


def _connect(schema: str) -> sqlite3.Connection:
    # No name: a temporary file of our own. Without a journal, as nothing is rolled back; read by any thread.
    db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = OFF", "temp_store = FILE", f"cache_size = -{CACHE_KIB}"):
        db.execute(f"PRAGMA {setting}")
    db.execute(schema)
    return db


def _pack(value: Any) -> Any:
    # SQLite takes no text with lone surrogates, as names of files may have them; as bytes they sort as Python sorts.
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _unpack(value: Any) -> Any:
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


class DiskList(Sequence[Any]):
    """A list that only grows, of texts, numbers and None, or of tuples of them. For one thread at a time."""

    def __init__(self, columns: int = 1) -> None:
        """Make an empty one.

        Args:
            columns: values in each entry; of one, the entry is the value itself, else a tuple.
        """
        names = [f"c{i}" for i in range(columns)]
        self._columns = columns
        self._db = _connect(f"CREATE TABLE list ({', '.join(names)})")
        self._insert = f"INSERT INTO list VALUES ({', '.join('?' * columns)})"
        self._new: list[tuple[Any, ...]] = []  # not written yet
        self._written = 0

    def append(self, entry: Any) -> None:
        """Add an entry at the end."""
        self._new.append(entry if self._columns > 1 else (entry,))
        if len(self._new) == CHUNK:
            self._write()

    def extend(self, entries: Iterable[Any]) -> None:
        """Add entries at the end."""
        for entry in entries:
            self.append(entry)

    def starting_at(self, position: int) -> Iterator[Any]:
        """The entries from a position on."""
        while position < len(self):
            self._write()
            select = "SELECT * FROM list WHERE rowid > ? ORDER BY rowid LIMIT ?"
            rows = self._db.execute(select, (position, CHUNK)).fetchall()
            yield from map(self._entry, rows)
            position += len(rows)

    def sorted(self) -> Iterator[Any]:
        """The entries in the order of their first values."""
        self._write()
        return map(self._entry, self._db.execute("SELECT * FROM list ORDER BY c0, rowid"))

    def column(self, index: int) -> npt.NDArray[np.float64]:
        """The numbers in one place of the entries, as an array; without those that are None."""
        self._write()
        (count,) = self._db.execute(f"SELECT COUNT(c{index}) FROM list").fetchone()
        rows = self._db.execute(f"SELECT c{index} FROM list WHERE c{index} IS NOT NULL")
        return np.fromiter((value for (value,) in rows), np.float64, count)

    def __len__(self) -> int:
        return self._written + len(self._new)

    def __iter__(self) -> Iterator[Any]:
        return self.starting_at(0)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]  # raises IndexError
        self._write()
        return self._entry(self._db.execute("SELECT * FROM list WHERE rowid = ?", (position + 1,)).fetchone())

    def _write(self) -> None:
        if self._new:
            self._db.execute("BEGIN")
            self._db.executemany(self._insert, (tuple(map(_pack, entry)) for entry in self._new))
            self._db.execute("COMMIT")
            self._written += len(self._new)
            self._new.clear()

    def _entry(self, row: tuple[Any, ...]) -> Any:
        return tuple(map(_unpack, row)) if self._columns > 1 else _unpack(row[0])


class DiskDict(Mapping[str, int]):
    """A dictionary that only grows, of numbers by text, in the order in which they came."""

    def __init__(self) -> None:
        self._db = _connect("CREATE TABLE dict (position INTEGER PRIMARY KEY, name UNIQUE, value)")
        self._len = 0

    def add(self, name: str, value: int) -> bool:
        """Add an entry; False where there is one of that name, which stays as it is."""
        insert = "INSERT OR IGNORE INTO dict (name, value) VALUES (?, ?)"
        added = self._db.execute(insert, (_pack(name), value)).rowcount == 1
        self._len += added
        return added

    def without(self, names: Iterable[str]) -> DiskList:
        """The names that are not among others, sorted."""
        self._db.execute("CREATE TABLE other (name UNIQUE)")
        self._db.executemany("INSERT OR IGNORE INTO other VALUES (?)", ((_pack(name),) for name in names))
        left = DiskList()
        rows = self._db.execute("SELECT name FROM dict EXCEPT SELECT name FROM other ORDER BY name")
        left.extend(_unpack(name) for (name,) in rows)
        self._db.execute("DROP TABLE other")
        return left

    def __getitem__(self, name: str) -> int:
        row = self._db.execute("SELECT value FROM dict WHERE name = ?", (_pack(name),)).fetchone()
        if row is None:
            raise KeyError(name)
        value: int = row[0]
        return value

    def __iter__(self) -> Iterator[str]:
        return (_unpack(name) for (name,) in self._db.execute("SELECT name FROM dict ORDER BY position"))

    def __len__(self) -> int:
        return self._len
