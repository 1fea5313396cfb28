"""Looking at the files themselves: how the index is made anew, and how it is put right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.config import CodecName
from forebay.errors import ObjectDamagedError
from forebay.io import Filesystem
from forebay.store import entry as entries
from forebay.store import schema, session
from forebay.store.aside import Quarantine
from forebay.store.files import quietly
from forebay.store.layout import Layout, is_kind, parse_entry, parse_object
from forebay.types import Digest, Key

if TYPE_CHECKING:
    import sqlite3


class Scanner:
    """Reads a store's folders.

    Args:
        fs: the file system.
        layout: where things lie.
        aside: takes damaged entries.
        writable: whether anything may come to rely on what is found.
    """

    def __init__(self, fs: Filesystem, layout: Layout, aside: Quarantine, *, writable: bool) -> None:
        self._fs = fs
        self._layout = layout
        self._aside = aside
        self._writable = writable

    def objects(self) -> Iterator[tuple[Digest, CodecName]]:
        """Yield the files of objects."""
        for folder in self._folders(self._layout.objects):
            for name in self._files(self._layout.objects / folder):
                found = parse_object(folder, name)
                if found is not None:
                    yield found

    def entries(self) -> Iterator[tuple[str, Key]]:
        """Yield the files of entries."""
        for kind in self._folders(self._layout.entries):
            if not is_kind(kind):
                continue
            for folder in self._folders(self._layout.entries / kind):
                for name in self._files(self._layout.entries / kind / folder):
                    key = parse_entry(folder, name)
                    if key is not None:
                        yield kind, key

    def damaged(self) -> Iterator[tuple[str, int]]:
        """Yield what was set aside: name, size in bytes."""
        for name in self._files(self._layout.quarantine):
            size = self._size(self._layout.quarantine / name)
            if size is not None:
                yield name, size

    def temporaries(self) -> Iterator[tuple[str, int, float]]:
        """Yield temporaries: name, size in bytes, seconds since they were written to."""
        now = self._fs.now()
        for name in self._files(self._layout.tmp):
            try:
                found = self._fs.stat(self._layout.tmp / name)
            except OSError:  # published or dropped meanwhile
                continue
            yield name, found.size, now - found.mtime_ns / 1e9

    def remove_temporaries(self) -> tuple[int, int]:
        """Remove what the dead left in ``tmp/``; return how many files, and their bytes.

        A temporary of a session that another machine may still be writing is left alone for a day.
        """
        count = freed = 0
        try:
            found = list(self.temporaries())
        except OSError:  # a failing disk: another time
            found = []
        for name, size, idle in found:
            token = session.token_of(name)
            if token is None or not session.is_over(token, idle):
                continue
            try:
                self._fs.unlink(self._layout.tmp / name)
            except OSError:  # gone, or another user's
                continue
            count, freed = count + 1, freed + size
        return count, freed

    def fill(self, db: sqlite3.Connection) -> None:
        """Put what the files say into empty tables."""
        for token, _ in db.execute("SELECT token, seen FROM sessions").fetchall():
            if session.was_cut(token):
                db.execute("DELETE FROM intents WHERE token = ?", (token,))
                db.execute("DELETE FROM sessions WHERE token = ?", (token,))
        self._fill_temporaries(db)
        db.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?)", self._object_rows())
        if self._writable:
            self._make_objects_durable()
        sizes: dict[str, int] = {}
        for digest, size in db.execute("SELECT digest, bytes FROM objects"):
            sizes[digest] = sizes.get(digest, 0) + size
        self._fill_entries(db, sizes)
        db.execute(
            "INSERT INTO loose SELECT DISTINCT digest FROM objects"
            " WHERE NOT EXISTS (SELECT 1 FROM refs WHERE refs.digest = objects.digest)"
        )
        self._aside.drain()  # what was moved just now is counted here
        db.executemany("INSERT INTO damaged VALUES (?, ?)", self.damaged())

    def _fill_temporaries(self, db: sqlite3.Connection) -> None:
        """Count the temporaries of the living as spoken for, as far as no intent of theirs does."""
        written: dict[str, int] = {}
        for name, size, idle in self.temporaries():
            token = session.token_of(name)
            if token is not None and not session.is_over(token, idle):
                written[token] = written.get(token, 0) + size
        for token, size in written.items():
            query = "SELECT COALESCE(SUM(bytes), 0) FROM intents WHERE token = ?"
            missing = size - db.execute(query, (token,)).fetchone()[0]
            db.execute("INSERT OR IGNORE INTO sessions VALUES (?, ?)", (token, self._fs.now()))
            if missing > 0:
                db.execute("INSERT OR REPLACE INTO intents VALUES (?, -1, NULL, NULL, NULL, ?)", (token, missing))

    def _make_objects_durable(self) -> None:
        """Flush the names of objects: what the books have is relied on, and not all of it may have come so far."""
        for folder in self._folders(self._layout.objects):
            quietly(self._fs.flush_dir, self._layout.objects / folder)
        for folder in (self._layout.objects, self._layout.home):
            quietly(self._fs.flush_dir, folder)

    def _object_rows(self) -> Iterator[tuple[str, str, int]]:
        for digest, kept in self.objects():
            size = self._size(self._layout.object(digest, kept))
            if size is not None:
                yield digest, kept, size

    def _fill_entries(self, db: sqlite3.Connection, sizes: dict[str, int]) -> None:
        insert = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        for number, (kind, key) in enumerate(self.entries(), start=1):
            path = self._layout.entry(kind, key)
            try:
                data, used = self._fs.read(path), self._fs.stat(path).mtime_ns / 1e9
            except OSError:  # gone, or not to be read: a miss
                continue
            try:
                found = entries.decode(data)
            except ObjectDamagedError as error:
                self._aside.take(path, what=f"entry {kind} {key[:12]}", name=key, why=error.what, kind=kind)
                continue
            digests = {ref.digest for ref in found.objects}
            size = len(data) + sum(sizes.get(digest, 0) for digest in digests)
            rank = schema.rank(found.cost.seconds, size, used)
            row = (number, kind, key, found.dataset, len(data), size, found.created, used, rank, found.cost.seconds,
                   int(found.recoverable))  # fmt: skip
            db.execute(insert, row)
            db.executemany("INSERT INTO refs VALUES (?, ?)", ((number, digest) for digest in digests))

    def _folders(self, path: Path) -> list[str]:
        return self._names(path, dirs=True)

    def _files(self, path: Path) -> list[str]:
        return self._names(path, dirs=False)

    def _names(self, path: Path, *, dirs: bool) -> list[str]:
        try:
            return sorted(name for name, is_dir in self._fs.scan(path) if is_dir == dirs)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _size(self, path: Path) -> int | None:
        try:
            return self._fs.stat(path).size
        except OSError:  # gone meanwhile
            return None
