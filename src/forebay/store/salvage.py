"""What an index that is made anew takes over from the old one, because no file says it: sessions, memo, recency."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.store import connection, schema

if TYPE_CHECKING:
    import sqlite3


@dataclass(slots=True)
class Kept:
    """What a rebuild takes over from the old rows, because no file says it."""

    sessions: list[tuple[object, ...]]
    intents: list[tuple[object, ...]]
    memo: list[tuple[object, ...]]
    used: list[tuple[object, ...]]

    def restore(self, db: sqlite3.Connection) -> None:
        """Put into new tables what is about nothing in them."""
        db.executemany("INSERT INTO sessions VALUES (?, ?)", self.sessions)
        db.executemany("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?)", self.intents)
        db.executemany("INSERT INTO memo VALUES (?, ?, ?, ?, ?, ?, ?)", self.memo)

    def restore_recency(self, db: sqlite3.Connection) -> None:
        """Tell new rows of entries when these were used."""
        db.executemany(
            "UPDATE entries SET rank = rank + ?1 * (?2 - used), used = ?2 WHERE kind = ?3 AND key = ?4 AND used < ?2",
            ((schema.RANK_PER_SECOND, used, kind, key) for kind, key, used in self.used),
        )


def salvage(db: sqlite3.Connection) -> Kept:
    """Read what can be read of the old rows."""
    return Kept(
        _rows(db, "SELECT token, seen FROM sessions"),
        _rows(db, "SELECT token, number, digest, kind, key, bytes FROM intents"),
        _rows(db, "SELECT device, inode, size, mtime_ns, ctime_ns, digest, seen FROM memo"),
        _rows(db, "SELECT kind, key, used FROM entries"),
    )


def salvage_file(path: Path) -> Kept:
    """Read what can be read of an index that is given up; without its log, which somebody may be writing."""
    import sqlite3

    try:
        with closing(connection.to_read(path, immutable=True)) as db:
            return salvage(db)
    except sqlite3.Error:  # damaged
        return Kept([], [], [], [])


def _rows(db: sqlite3.Connection, query: str) -> list[tuple[object, ...]]:
    import sqlite3

    try:
        return db.execute(query).fetchall()
    except sqlite3.OperationalError:  # no such table, or one of another version
        return []
