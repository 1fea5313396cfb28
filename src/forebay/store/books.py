"""The books: what an index says is there, brought in line with files one by one, inside somebody's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import codec
from forebay.errors import ObjectDamagedError
from forebay.store import entry as entries
from forebay.store import schema
from forebay.store.layout import parse_entry, parse_object

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from forebay.config import CodecName
    from forebay.io import Filesystem
    from forebay.store.files import Files
    from forebay.store.layout import Layout
    from forebay.types import Digest, Entry, Key


class Books:
    """Writes down what the files of one store are."""

    def __init__(self, fs: Filesystem, layout: Layout, files: Files) -> None:
        self._fs = fs
        self._layout = layout
        self._files = files

    def enter_object(self, db: sqlite3.Connection, digest: Digest) -> None:
        """Take the files of an object into the books, or off them, as they are.

        Whoever made one new to the books may not have come to flushing its folder: its name is made durable first.
        """
        there = [self._enter(db, digest, kept, durable=False) for kept in codec.SUFFIXES]
        if any(there):
            self.note_if_loose(db, digest)

    def enter_file(self, db: sqlite3.Connection, digest: Digest, kept: CodecName) -> None:
        """Take one file of an object, whose name is durable, into the books, or off them where it is gone."""
        self._enter(db, digest, kept, durable=True)

    def _enter(self, db: sqlite3.Connection, digest: Digest, kept: CodecName, *, durable: bool) -> bool:
        """As `enter_file`; tell whether it is there."""
        path = self._layout.object(digest, kept)
        try:
            size = self._fs.stat(path).size
        except (FileNotFoundError, NotADirectoryError):
            db.execute("DELETE FROM objects WHERE digest = ? AND codec = ?", (digest, kept))
            return False
        upsert = (
            "INSERT INTO objects VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes"
            " WHERE bytes != excluded.bytes"
        )
        if db.execute(upsert, (digest, kept, size)).rowcount and not durable:
            self._files.make_durable([path])
        return True

    def note_if_loose(self, db: sqlite3.Connection, digest: Digest) -> None:
        """Note an object that no entry names."""
        absent = "NOT EXISTS (SELECT 1 FROM refs WHERE digest = ?1)"
        db.execute(f"INSERT OR IGNORE INTO loose SELECT ?1 WHERE {absent}", (digest,))

    def enter_entry(self, db: sqlite3.Connection, found: Entry, file_bytes: int, used: float) -> None:
        """Take an entry's file into the books; its objects must be in them."""
        digests = {ref.digest for ref in found.objects}
        marks = ",".join("?" * len(digests))
        payload = 0
        if len(digests) <= 500:
            query = f"SELECT COALESCE(SUM(bytes), 0) FROM objects WHERE digest IN ({marks})"
            payload = db.execute(query, tuple(digests)).fetchone()[0]
        else:  # more than SQLite takes parameters at once, on old builds
            for digest in digests:
                row = db.execute("SELECT SUM(bytes) FROM objects WHERE digest = ?", (digest,)).fetchone()
                payload += row[0] or 0
        old = db.execute("SELECT id FROM entries WHERE kind = ? AND key = ?", (found.kind, found.key)).fetchone()
        if old is not None:
            self.drop_entry(db, old[0])
        size = file_bytes + payload
        place = schema.rank(found.cost.seconds, size, used)
        row = (
            found.kind, found.key, found.dataset, file_bytes, size, found.created, used, place, found.cost.seconds,
            int(found.recoverable),
        )  # fmt: skip
        insert = (
            "INSERT INTO entries(kind, key, dataset, file_bytes, bytes, created, used, rank, cost_seconds, recoverable)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        number = db.execute(insert, row).lastrowid
        db.executemany("INSERT INTO refs VALUES (?, ?)", ((number, digest) for digest in digests))
        db.executemany("DELETE FROM loose WHERE digest = ?", ((digest,) for digest in digests))

    def sync_path(self, db: sqlite3.Connection, path: Path) -> None:
        """Take whatever lies at a path of the store into the books, or off them, as it is."""
        folder, name = path.parent.name, path.name
        found = parse_object(folder, name)
        key = parse_entry(folder, name)
        if found is not None:
            self.enter_object(db, found[0])
        elif key is not None:
            self.sync_entry(db, path.parent.parent.name, key)

    def sync_entry(self, db: sqlite3.Connection, kind: str, key: Key) -> None:
        """Take an entry's file into the books, or off them, as it is."""
        path = self._layout.entry(kind, key)
        row = db.execute("SELECT id FROM entries WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        try:
            data = self._fs.read(path)
            found = entries.decode(data)
        except (FileNotFoundError, NotADirectoryError, ObjectDamagedError):
            if row is not None:
                self.drop_entry(db, row[0])
            return
        for ref in found.objects:
            self.enter_object(db, ref.digest)
        self.enter_entry(db, found, len(data), self._fs.stat(path).mtime_ns / 1e9)

    def drop_entry(self, db: sqlite3.Connection, number: int) -> None:
        """Take an entry off the books; what it named may be loose now."""
        db.execute("INSERT OR IGNORE INTO loose SELECT digest FROM refs WHERE entry = ?", (number,))
        db.execute("DELETE FROM refs WHERE entry = ?", (number,))
        db.execute("DELETE FROM entries WHERE id = ?", (number,))
