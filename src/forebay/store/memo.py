"""Digests of files outside of the store, so that an unchanged file is hashed once.

A file is known by (device, inode, size, mtime, ctime). As in git's index, a file that changed just before it was hashed
may change again within the same tick of the clock, unseen; such a file is not remembered ("racily clean").
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from forebay.errors import StoreError
from forebay.types import Digest, is_hex64

if TYPE_CHECKING:
    import sqlite3

    from forebay.store.index import Index

_RACY_NS = 2_000_000_000
"""FAT keeps times to 2 s; nothing in use is coarser."""

_WRITE_FROM = 256
_WRITE_FROM_BYTES = 16 << 20
"""Hashing so much takes longer than the commit that remembers it."""

_Place = tuple[int, int]
_Facts = tuple[int, int, int]


class IndexMemo:
    """The memo in a store's index; fits `forebay.fingerprint.FileMemo`. Safe over threads.

    Trouble with the index means that nothing is remembered, never an error.
    """

    def __init__(self, index: Index, *, writable: bool, now: Callable[[], float]) -> None:
        self._index = index
        self._writable = writable
        self._now = now
        self._new: dict[_Place, tuple[_Facts, Digest]] = {}
        self._new_bytes = 0

    def get(self, path: str, stat: os.stat_result) -> Digest | None:
        """Return the digest of the file with these facts, if it is remembered."""
        place, facts = _facts(stat)
        new = self._new.get(place)
        if new is not None:
            return new[1] if new[0] == facts else None

        def look(db: sqlite3.Connection) -> object:
            query = "SELECT size, mtime_ns, ctime_ns, digest FROM memo WHERE device = ? AND inode = ?"
            return db.execute(query, place).fetchone()

        try:
            row = self._index.read(look)
        except StoreError:
            return None
        if not isinstance(row, tuple) or row[:3] != facts:
            return None
        return Digest(row[3]) if isinstance(row[3], str) and is_hex64(row[3]) else None

    def put(self, path: str, stat: os.stat_result, digest: Digest) -> None:
        """Remember the digest of a file; what took long to hash a process that is killed leaves behind, too.

        Args:
            path: the file, looked at once more.
            stat: what it was before it was hashed; a file that has changed since is not remembered.
            digest: of its content.
        """
        place, facts = _facts(stat)
        try:
            now = os.stat(path)
        except OSError:
            return
        changed = max(stat.st_mtime_ns, stat.st_ctime_ns)
        if _facts(now) != (place, facts) or changed > time.time_ns() - _RACY_NS:
            return
        self._new[place] = (facts, digest)
        self._new_bytes += stat.st_size
        if len(self._new) >= _WRITE_FROM or self._new_bytes >= _WRITE_FROM_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is new."""
        new, self._new, self._new_bytes = self._new, {}, 0
        if not new or not self._writable:
            self._new = new if not self._writable else {}
            return
        now = self._now()
        rows = [(*place, *facts, digest, now) for place, (facts, digest) in new.items()]
        try:
            self._index.write(
                lambda db: db.executemany("INSERT OR REPLACE INTO memo VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            )
        except StoreError:
            pass  # hashed again next time


def _facts(stat: os.stat_result) -> tuple[_Place, _Facts]:
    return (stat.st_dev, _signed(stat.st_ino)), (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _signed(number: int) -> int:
    """Fit an unsigned 64-bit inode into SQLite's signed integers."""
    return number - 2**64 if number >= 2**63 else number
