"""The books: what an index says is there, brought in line with files one by one, inside somebody's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from forebay import codec
from forebay.errors import ObjectDamagedError
from forebay.store import entry as entries
from forebay.store import schema
from forebay.store.intents import Published
from forebay.store.layout import parse_entry, parse_object

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from forebay.config import CodecName
    from forebay.io import Filesystem
    from forebay.store.files import Files
    from forebay.store.layout import Layout
    from forebay.types import Digest, Key


_PUT_OBJECTS = (
    "INSERT INTO objects SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')"
    " FROM json_each(?) WHERE true"  # else SQLite takes ON for a join's
    " ON CONFLICT DO UPDATE SET bytes = excluded.bytes WHERE bytes != excluded.bytes"
)

_PAIRS = "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"


class Books:
    """Writes down what the files of one store are.

    Statements are over sets, given as JSON: between two of them the interpreter's lock may go to a thread that
    computes, and comes back milliseconds later, while the index is locked for everybody.
    """

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
            self.note_if_loose(db, [digest])

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
        if db.execute(_PUT_OBJECTS, (json.dumps([(digest, kept, size)]),)).rowcount and not durable:
            self._files.make_durable([path])
        return True

    def enter_published(self, db: sqlite3.Connection, files: Sequence[tuple[Digest, CodecName, int]]) -> None:
        """Take files of objects into the books that were published just now: digest, codec, bytes at rest."""
        if files:
            db.execute(_PUT_OBJECTS, (json.dumps(files),))

    def note_if_loose(self, db: sqlite3.Connection, digests: Iterable[Digest]) -> None:
        """Note the objects that no entry names."""
        absent = "NOT EXISTS (SELECT 1 FROM refs WHERE digest = value)"
        db.execute(f"INSERT OR IGNORE INTO loose SELECT value FROM json_each(?) WHERE {absent}", (_listed(digests),))

    def enter_entries(self, db: sqlite3.Connection, published: Sequence[Published], used: float) -> None:
        """Take entries' files into the books; their objects must be in them."""
        if not published:
            return
        named = [{ref.digest for ref in each.entry.objects} for each in published]
        each_once = _listed({digest for each in named for digest in each})
        query = (
            "SELECT digest, SUM(bytes) FROM objects WHERE digest IN (SELECT value FROM json_each(?)) GROUP BY digest"
        )
        sizes: dict[str, int] = dict(db.execute(query, (each_once,)).fetchall())
        places = json.dumps([(each.entry.kind, each.entry.key) for each in published])
        old = f"SELECT id FROM entries WHERE (kind, key) IN ({_PAIRS})"
        for (number,) in db.execute(old, (places,)).fetchall():
            self.drop_entry(db, number)
        insert = (
            "INSERT INTO entries(kind, key, dataset, file_bytes, bytes, created, used, rank, cost_seconds, recoverable)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        refs: list[tuple[int | None, Digest]] = []
        for each, digests in zip(published, named, strict=True):
            found = each.entry
            size = each.file_bytes + sum(sizes.get(digest, 0) for digest in digests)
            place = schema.rank(found.cost.seconds, size, used)
            row = (
                found.kind, found.key, found.dataset, each.file_bytes, size, found.created, used, place,
                found.cost.seconds, int(found.recoverable),
            )  # fmt: skip
            number = db.execute(insert, row).lastrowid
            refs += [(number, digest) for digest in digests]
        db.execute(f"INSERT INTO refs {_PAIRS}", (json.dumps(refs),))
        db.execute("DELETE FROM loose WHERE digest IN (SELECT value FROM json_each(?))", (each_once,))

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
        self.enter_entries(db, [Published(found, len(data))], self._fs.stat(path).mtime_ns / 1e9)

    def knows_entry(self, db: sqlite3.Connection, kind: str, key: Key) -> bool:
        """Tell whether an entry is on the books and there."""
        if db.execute("SELECT 1 FROM entries WHERE kind = ? AND key = ?", (kind, key)).fetchone() is None:
            return False
        try:
            self._fs.stat(self._layout.entry(kind, key))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def drop_entry(self, db: sqlite3.Connection, number: int) -> None:
        """Take an entry off the books; what it named may be loose now."""
        db.execute("INSERT OR IGNORE INTO loose SELECT digest FROM refs WHERE entry = ?", (number,))
        db.execute("DELETE FROM refs WHERE entry = ?", (number,))
        db.execute("DELETE FROM entries WHERE id = ?", (number,))


def _listed(digests: Iterable[Digest]) -> str:
    """Return digests as one parameter of a statement, for `json_each`."""
    return json.dumps(list(digests))
