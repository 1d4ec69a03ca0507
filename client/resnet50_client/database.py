"""SQLite as this client uses it: a run in a file that others are kept out of, or notes in one without a name.

Notes of a few images never leave SQLite's cache. The file of more is in the folder that TMPDIR names and has no name of
its own, so nothing is left of it, however the process ends.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

from resnet50_client.errors import DatasetError

CACHE_KIB = 512  # of each, filled before anything is written to a file
CHUNK = 1000  # rows that are read at a time
APPLICATION = 0x52353063  # "R50c", in the file's header
FORMAT = 2


def open_notes(schema: str) -> sqlite3.Connection:
    """A database without a name: gone when closed. For one thread at a time."""
    db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = OFF", "temp_store = FILE", f"cache_size = -{CACHE_KIB}"):
        db.execute(f"PRAGMA {setting}")
    db.executescript(schema)
    return db


def open_run(path: Path, schema: str) -> sqlite3.Connection:
    """The database of a run, made if it is not there, and locked until it is closed or this process ends.

    What was committed survives the end of the process, of whatever kind. While it is open there is a second file beside
    it (-wal), which belongs to it.

    Args:
        path: of the file.
        schema: statements that make the tables.

    Raises:
        DatasetError: another process has it, it is no run of this client, or it cannot be written.
    """
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
    except sqlite3.Error as error:
        raise DatasetError(f"cannot write '{path}': {error} (is its folder there, and open to us?)") from error
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the first look: no other process reads it from then on
        db.execute("PRAGMA journal_mode = DELETE")  # takes in what a killed run has left in its -wal
        db.execute("BEGIN EXCLUSIVE")
        is_new = not db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        found = tuple(db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if not is_new and found != (APPLICATION, FORMAT):
            raise DatasetError(f"'{path}' is no run of this client, or of another version: name another file")
        if is_new:
            for statement in schema.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {FORMAT}")
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        db.execute("INSERT OR REPLACE INTO about VALUES ('holder', ?)", (holder,))
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute("PRAGMA temp_store = FILE")
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise DatasetError(f"'{path}' is in use: {_holder(path)}; let it end, or name another file") from error
        if isinstance(error, sqlite3.OperationalError):
            raise DatasetError(f"cannot write '{path}': {error}") from error
        if isinstance(error, sqlite3.DatabaseError):
            raise DatasetError(f"'{path}' is no run of this client ({error}): name another file") from error
        raise
    return db


def close_run(db: sqlite3.Connection) -> None:
    """Close the file and release its lock."""
    try:
        db.execute("DELETE FROM about WHERE name = 'holder'")
        db.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error:
        pass  # such as a full disk: the next run takes in what is beside it
    finally:
        db.close()


def _holder(path: Path) -> str:
    """Who has a run: it was noted before the lock kept others out, so a look past the lock finds it."""
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)
        try:
            (text,) = db.execute("SELECT value FROM about WHERE name = 'holder'").fetchone()
        finally:
            db.close()
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']} has it since {holder['since']}"
    except (sqlite3.Error, TypeError, ValueError, KeyError):
        return "another process has it"


def pack(value: Any) -> Any:
    """A value as SQLite takes it: text with lone surrogates, as names of files may have them, becomes bytes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    return value


def unpack(value: Any) -> Any:
    """What `pack` was given."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value
