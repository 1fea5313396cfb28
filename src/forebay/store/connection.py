"""Connections to SQLite files: to write by locks or by turns, to read what may not be written, and removing them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

BUSY_SECONDS = 40.0
"""How long to wait for other processes' transactions; a rebuild is the longest, about 10 s per 100k entries."""

_READ_SECONDS = 1.0
_POLL_SECONDS = 0.01

_IMMUTABLE = "?mode=ro&immutable=1"
_TO_READ = "?mode=ro"
_BY_TURNS = "?vfs=unix-none"


def to_memory() -> sqlite3.Connection:
    """Connect to a new database in memory."""
    return _connect(":memory:")


def to_write(path: Path, *, by_turns: bool) -> sqlite3.Connection:
    """Connect to a file, which is made if there is none.

    Args:
        path: the file.
        by_turns: it is nobody else's while it is open; else SQLite's own locks decide, in WAL mode.

    Raises:
        sqlite3.Error: as SQLite says.
    """
    db = _connect(_uri(path, _BY_TURNS if by_turns else ""), BUSY_SECONDS)
    try:
        _set_journal(db, "DELETE" if by_turns else "WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA wal_autocheckpoint=256")  # pages: the log stays below 1 MiB, which full disks like
    except BaseException:
        db.close()
        raise
    return db


def has_log(path: Path) -> bool:
    """Tell whether a file in WAL mode has a log beside it. Without one, SQLite would make one, even to read."""
    return os.path.exists(path.with_name(path.name + "-wal"))


def to_read(path: Path, *, immutable: bool) -> sqlite3.Connection:
    """Connect to a file that we may not write.

    Args:
        path: the file.
        immutable: take it for one that nobody writes, and do without its log.
    """
    return _connect(_uri(path, _IMMUTABLE if immutable else _TO_READ), _READ_SECONDS)


def remove(path: Path) -> None:
    """Remove a file and what SQLite keeps beside it. Who has it open has nobody's from then on."""
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)


def _connect(uri: str, timeout: float = 0.0) -> sqlite3.Connection:
    import sqlite3

    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=timeout)


def _set_journal(db: sqlite3.Connection, mode: str) -> None:
    """Set the journal mode; SQLite does not wait by itself when several change it at once."""
    import sqlite3

    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute(f"PRAGMA journal_mode={mode}")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(_POLL_SECONDS)


def _uri(path: Path, how: str) -> str:
    text = str(path)
    for char, code in (("%", "%25"), ("?", "%3f"), ("#", "%23")):
        text = text.replace(char, code)
    return f"file:{text}{how}"
