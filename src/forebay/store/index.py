"""The index: an SQLite file that knows sizes, recency, and who is about to write what.

It is rebuilt whenever it cannot be trusted. Where file locks work it is in WAL mode. On network and FUSE file systems
users take turns: it is another file, with a rollback journal, and is opened for each transaction, under a lock that is
a folder. Where there is such a file, who could trust the locks takes turns, too: others come to it over a network.

It is opened at the first need: reading an entry or an object needs none.

One connection per process, guarded by a lock; it is closed before a fork, and opened again on both sides when needed.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from forebay.errors import StoreError, StoreFullError, StoreReadOnlyError
from forebay.store import connection, mounts, schema
from forebay.store.folderlock import FolderLock
from forebay.store.salvage import salvage, salvage_file

if TYPE_CHECKING:
    import sqlite3

Result = TypeVar("Result")

BY_TURNS = "index.turns.sqlite"
"""The file on which users take turns. It is never removed: who looks for it must not find none for a moment."""


@dataclass(frozen=True, slots=True)
class IndexPlace:
    """Where and how an index is kept.

    Attributes:
        path: its file; None: in memory (a store on no real disk, or one that may not be written).
        writable: whether the file may be written.
        group: whether the group may write it as well.
    """

    path: Path | None
    writable: bool
    group: bool


class Index:
    """Transactions over the index. Safe over threads and forks."""

    def __init__(
        self,
        place: IndexPlace,
        *,
        fill: Callable[[sqlite3.Connection], None],
        trusted: Callable[[sqlite3.Connection], bool],
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            place: where it is.
            fill: puts what the files say into empty tables.
            trusted: tells whether the rows may be believed (no power cut since they were written).
        """
        self._place = place
        self._path = place.path
        self._by_turns = (place.path or Path("index")).with_name(BY_TURNS)
        self._fill = fill
        self._trusted = trusted
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._folder_lock: FolderLock | None = None
        self._locks_work: bool | None = None
        self._in_turn = False
        self._fleeting = False
        _OPEN.add(self)

    def write(self, work: Callable[[sqlite3.Connection], Result], *, durable: bool = False) -> Result:
        """Run `work` in one IMMEDIATE transaction; it is run again where the index had to be made anew.

        So what it does to files must bear being done twice.

        Args:
            work: is given the connection.
            durable: return only when the transaction would survive a power cut.

        Raises:
            StoreFullError: no room for the index itself.
            StoreError: the index cannot be used.
        """
        return self._attempts(lambda db: self._transaction(db, work, durable=durable))

    def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work`, which only looks. Raises a StoreError where the index cannot be used."""
        result = self._attempts(lambda db: work(db))
        if self._fleeting:
            self.close()  # others go on writing what we took for immutable
        return result

    def close(self) -> None:
        """Close the connection; the index opens again at the next need."""
        with self._lock:
            db, self._db = self._db, None
            if db is not None:
                db.close()

    def rebuild(self) -> None:
        """Make all rows anew from the files, in one transaction."""
        self.write(self._refill)

    def hold_for_fork(self) -> None:
        """Wait for the transaction under way, and close the connection."""
        self._lock.acquire()
        if self._db is not None and not self._db.in_transaction and self._path is not None:
            self.close()

    def go_on_after_fork(self) -> None:
        """Let the parent's threads go on."""
        self._lock.release()

    def start_in_child(self) -> None:
        """Forget the parent's lock and connection; a copy of an index in memory is ours to use."""
        self._lock = threading.RLock()
        self._in_turn = False
        if self._db is not None and self._path is not None:
            _INHERITED.append(self._db)
            self._db = None

    def _attempts(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        import sqlite3

        for attempt in range(3):
            with self._lock, self._turn():
                try:
                    return work(self._connection())
                except sqlite3.Error as error:
                    self._recover(error, attempt)
        raise AssertionError("unreachable")

    @contextmanager
    def _turn(self) -> Generator[None]:
        """Have the folder lock, where there must be one, while the block runs; and the file open no longer than that.

        A client of a network file system may show what it has cached of an open file. It looks anew as it opens it.
        """
        under_way = self._in_turn or (self._db is not None and self._db.in_transaction)
        lock = None if under_way else self._lock_of_folder()
        if lock is None:
            yield
            return
        lock.acquire()
        self._in_turn = True
        try:
            yield
        finally:
            self._in_turn = False
            try:
                self.close()
            finally:
                lock.release()

    def _lock_of_folder(self) -> FolderLock | None:
        """Return the lock, where users must take turns; the index is another file from then on."""
        if self._folder_lock is not None or self._place.path is None:
            return self._folder_lock
        if self._locks_work is None:
            self._locks_work = mounts.locks_work(self._place.path.parent)
        others_do = os.path.exists(self._by_turns)
        if not self._place.writable:
            self._path = self._by_turns if others_do else self._place.path
        elif others_do or not self._locks_work:
            self.close()
            self._path = self._by_turns
            self._folder_lock = FolderLock(self._by_turns.with_name(self._by_turns.name + ".lock"))
        return self._folder_lock

    def _transaction(
        self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result], *, durable: bool
    ) -> Result:
        import sqlite3

        if db.in_transaction:  # nested: part of the transaction that is under way
            return work(db)
        if durable:
            db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db)
            if self._folder_lock is not None and not self._folder_lock.is_mine():
                raise sqlite3.OperationalError("the lock was taken from us")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        finally:
            if durable:
                db.execute("PRAGMA synchronous=NORMAL")
        return result

    def _recover(self, error: sqlite3.Error, attempt: int) -> None:
        """Make a further attempt possible, or raise; what cannot be read a second time is as good as damaged."""
        import sqlite3

        text = str(error)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        unsaid, path = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN), self._path
        if code == sqlite3.SQLITE_FULL or "disk is full" in text or (unsaid and path and mounts.is_full(path.parent)):
            raise StoreFullError(f"no room for {self._path}: {error}", hint="free some space") from error
        if attempt == 2:
            raise StoreError(f"cannot use {self._path}: {error}", hint="forebay reindex") from error
        damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such table" in text
        if damaged or (code == sqlite3.SQLITE_IOERR and attempt == 1):
            self._drop_file()
        elif code == sqlite3.SQLITE_BUSY:
            what = f"{self._path} is locked by another process: {error}"  # we have waited for long already
            raise StoreError(what, hint="look for one that is stopped") from error
        elif code == sqlite3.SQLITE_READONLY and self._file_identity() == self._identity:
            raise StoreReadOnlyError(f"cannot write {self._path}: {error}") from error
        self.close()

    def _connection(self) -> sqlite3.Connection:
        if self._db is not None and self._identity != self._file_identity():
            self.close()  # deleted or replaced by somebody: what we have open is nobody's index any more
        if self._db is None:
            self._db = self._open()
        return self._db

    def _file_identity(self) -> tuple[int, int] | None:
        if self._path is None or not self._place.writable:
            return None
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _open(self) -> sqlite3.Connection:
        if self._path is not None and not self._place.writable:
            return self._open_to_read(self._path)
        db = self._connect_to_write()
        self._identity = self._file_identity()
        try:
            if not self._usable(db):
                self._transaction(db, self._refill_if_needed, durable=False)
        except BaseException:
            db.close()
            raise
        return db

    def _connect_to_write(self) -> sqlite3.Connection:
        path = self._path
        if path is None:
            return connection.to_memory()
        fresh = not path.exists()
        db = connection.to_write(path, by_turns=self._folder_lock is not None)
        try:
            schema.check_sqlite(db)
            if fresh and self._place.group:
                os.chmod(path, 0o660)  # SQLite gives its journals the same permissions
        except BaseException:
            db.close()
            raise
        return db

    def _open_to_read(self, path: Path) -> sqlite3.Connection:
        """Open an index that we may not write, or else make one in memory."""
        import sqlite3

        for immutable in (False, True) if connection.has_log(path) else (True,):
            db = None
            try:
                db = connection.to_read(path, immutable=immutable)
                if self._usable(db, any_session=True):
                    self._fleeting = True
                    return db
            except sqlite3.Error:  # no such file, no shared memory for WAL, not a database
                pass
            if db is not None:
                db.close()
        db = connection.to_memory()
        self._transaction(db, self._refill, durable=False)
        return db

    def _usable(self, db: sqlite3.Connection, *, any_session: bool = False) -> bool:
        if db.execute("PRAGMA user_version").fetchone()[0] != schema.VERSION:
            return False
        done = db.execute("SELECT 1 FROM meta WHERE name = 'complete'").fetchone()
        return done is not None and (any_session or self._trusted(db))

    def _refill_if_needed(self, db: sqlite3.Connection) -> None:
        if not self._usable(db):  # somebody else may have done it while we waited for the lock
            self._refill(db)

    def _refill(self, db: sqlite3.Connection) -> None:
        """Make the tables and fill them; sessions, memo and recency are taken over where they can be read."""
        kept = salvage(db)
        if self._folder_lock is not None and self._place.path is not None and self._place.path.exists():
            kept = kept if kept.used else salvage_file(self._place.path)
            with suppress(OSError):  # it is nobody's any more
                connection.remove(self._place.path)
        for name in schema.NAMES:
            db.execute(f"DROP TABLE IF EXISTS {name}")
        for statement in (schema.TABLES + schema.triggers()).split(";\n"):
            if statement.strip():
                db.execute(statement)
        kept.restore(db)
        self._fill(db)
        kept.restore_recency(db)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('complete', 1)")
        db.execute(f"PRAGMA user_version = {schema.VERSION}")

    def _drop_file(self) -> None:
        """Remove or empty a file that is no usable index, unless somebody has already replaced it."""
        path = self._path
        if path is None or not self._place.writable:
            return
        mine = self._identity
        self.close()
        if mine is None or mine == self._file_identity():
            if self._folder_lock is not None:
                os.truncate(path, 0)  # SQLite takes that for new, and ignores a journal beside it
            else:
                connection.remove(path)


_OPEN: weakref.WeakSet[Index] = weakref.WeakSet()
_INHERITED: list[object] = []
"""Connections of the parent that could not be closed before a fork: kept, so that the child never closes them."""


def _before_fork() -> None:
    """An SQLite connection may not cross a fork; so there is none while it happens, and no transaction either."""
    for index in list(_OPEN):
        index.hold_for_fork()


def _after_fork_in_parent() -> None:
    for index in list(_OPEN):
        index.go_on_after_fork()


def _after_fork_in_child() -> None:
    for index in list(_OPEN):
        index.start_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
