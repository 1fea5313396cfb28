"""The index's tables. Nothing in here is the truth: all but `memo` can be made again from the files.

Sums are kept by triggers, so that the budget is one row to look at and cannot drift from the rows it sums.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from forebay.errors import StoreError

if TYPE_CHECKING:
    import sqlite3

VERSION = 1
"""``PRAGMA user_version``; another version is rebuilt."""

HALF_LIFE_SECONDS = 86_400.0
"""An entry unused for this long is worth half."""

RANK_PER_SECOND = 1 / HALF_LIFE_SECONDS

OVERHEAD_SECONDS = 0.001
"""Added to what an entry cost: looking it up and writing it again is never free."""

OVERHEAD_BYTES = 4096
"""Added to an entry's bytes: files take whole blocks."""


def rank(cost_seconds: float, size: int, used: float) -> float:
    """Return an entry's place in the order of eviction, lowest first.

    Its value at time t is what it saves per byte, halved for each half-life T since it was last used::

        value(t) = seconds / bytes · 2^((used - t) / T)

    Two values fall alike, so their order never changes, and it is that of log2(seconds / bytes) + used / T. Cost over
    size is GreedyDual-Size (Cao, Irani: Cost-Aware WWW Proxy Caching Algorithms, USITS 1997); ageing by powers, which
    leaves the order alone, is LRFU (Lee et al., IEEE Transactions on Computers 50, 2001).

    Args:
        cost_seconds: wall seconds to make it again.
        size: bytes at rest of the entry and its objects.
        used: seconds since the epoch.
    """
    return math.log2((max(cost_seconds, 0.0) + OVERHEAD_SECONDS) / (size + OVERHEAD_BYTES)) + used * RANK_PER_SECOND


TABLES = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- Processes that may have files on their way; a row of an earlier boot of this host means: rebuild.
CREATE TABLE sessions(token TEXT PRIMARY KEY, seen REAL NOT NULL) WITHOUT ROWID;

-- Object files; bytes: at rest.
CREATE TABLE objects(digest TEXT NOT NULL, codec TEXT NOT NULL, bytes INTEGER NOT NULL,
                     PRIMARY KEY(digest, codec)) WITHOUT ROWID;

-- Entry files; file_bytes: the entry's own file; bytes: with its objects at rest; rank: see above.
CREATE TABLE entries(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, dataset TEXT NOT NULL,
                     file_bytes INTEGER NOT NULL, bytes INTEGER NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
                     rank REAL NOT NULL, cost_seconds REAL NOT NULL, recoverable INTEGER NOT NULL, UNIQUE(kind, key));
CREATE INDEX entries_rank ON entries(rank) WHERE recoverable;
CREATE INDEX entries_used ON entries(used);
CREATE TABLE refs(entry INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY(entry, digest)) WITHOUT ROWID;
CREATE INDEX refs_digest ON refs(digest);

-- What live processes are about to publish, or rely on: space that is spoken for, and files that may not be evicted.
CREATE TABLE intents(token TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT, kind TEXT, key TEXT,
                     bytes INTEGER NOT NULL, PRIMARY KEY(token, number)) WITHOUT ROWID;
CREATE INDEX intents_digest ON intents(digest);

-- Objects that perhaps no entry names: looked at first when room is needed.
CREATE TABLE loose(digest TEXT PRIMARY KEY) WITHOUT ROWID;

-- Damaged files that were set aside; they take room as well.
CREATE TABLE damaged(name TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;

-- Digests of files outside of the store.
CREATE TABLE memo(device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, digest TEXT,
                  seen REAL, PRIMARY KEY(device, inode)) WITHOUT ROWID;

CREATE TABLE totals(one INTEGER PRIMARY KEY CHECK (one = 1), objects INTEGER NOT NULL, entries INTEGER NOT NULL,
                    reserved INTEGER NOT NULL, damaged INTEGER NOT NULL);
INSERT INTO totals VALUES (1, 0, 0, 0, 0);
"""

_SUMMED = (
    ("objects", "bytes", "objects"),
    ("entries", "file_bytes", "entries"),
    ("intents", "bytes", "reserved"),
    ("damaged", "bytes", "damaged"),
)

NAMES = ("meta", "sessions", "objects", "entries", "refs", "intents", "loose", "damaged", "memo", "totals")


def check_sqlite(db: sqlite3.Connection) -> None:
    """Refuse an SQLite without the JSON functions, which before 3.38 not every build has.

    Raises:
        StoreError: it is one. Without this, it would say that a table is missing, as of a damaged index.
    """
    import sqlite3

    if sqlite3.sqlite_version_info >= (3, 38):
        return
    try:
        db.execute("SELECT 1 FROM json_each('[]')")
    except sqlite3.OperationalError as error:
        what = f"the SQLite {sqlite3.sqlite_version} of this Python was built without JSON functions"
        raise StoreError(what, hint="use a Python with SQLite 3.38 or newer") from error


def triggers() -> str:
    """Return the triggers that keep `totals`."""
    lines: list[str] = []
    for table, column, total in _SUMMED:
        for event, change in (
            ("INSERT", f"+ new.{column}"),
            ("DELETE", f"- old.{column}"),
            (f"UPDATE OF {column}", f"- old.{column} + new.{column}"),
        ):
            name = f"{table}_{event.split()[0].lower()}"
            lines.append(
                f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN"
                f" UPDATE totals SET {total} = {total} {change}; END;"
            )
    return "\n".join(lines)
