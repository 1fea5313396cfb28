"""What goes when room is needed: first what nobody misses, then entries by value (see `schema.rank`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from forebay.config import CodecName
from forebay.store.holds import Held
from forebay.types import Digest, Key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

_AT_A_TIME = 256


@dataclass(slots=True)
class Plan:
    """What would be removed, in order; `bytes` at rest that this frees."""

    damaged: list[tuple[str, int]] = field(default_factory=list)
    entries: list[tuple[int, str, Key]] = field(default_factory=list)
    objects: list[tuple[Digest, CodecName, int]] = field(default_factory=list)
    loose: int = 0
    """How many of the objects no entry named before."""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """How much is to go.

    Attributes:
        bytes: at least this much at rest.
        used_before: and all entries last used before this time (seconds since the epoch); None: none for their age.
        tidy: and all loose objects, and entries whose objects are gone.
        damaged_before: and what was set aside before this time; None: none for its age.
    """

    bytes: int = 0
    used_before: float | None = None
    tidy: bool = False
    damaged_before: float | None = None


class Planner:
    """Makes one plan; to be used within the transaction that carries it out."""

    def __init__(self, db: sqlite3.Connection, held: Held) -> None:
        self._db = db
        self._held = held
        self._plan = Plan()
        self._gone: set[int] = set()
        self._freed: set[str] = set()

    def plan(self, wish: Wish) -> Plan:
        """Return what must go to fulfil the wish; less than wished for where the rest is spared."""
        self._take_damaged(wish)
        if wish.tidy or self._plan.bytes < wish.bytes:
            self._take_loose(wish)
        if wish.tidy:
            self._take_broken()
        if wish.used_before is not None:
            old = "SELECT id, kind, key, file_bytes FROM entries WHERE recoverable AND used < ? ORDER BY used"
            for row in self._db.execute(old, (wish.used_before,)).fetchall():
                self._take_entry(*row)
        # What a running batch shares objects with goes last: it gives less room, and its work is just being used.
        for also_shared in (False, True):
            for row in self._by_value() if self._plan.bytes < wish.bytes else ():
                self._take_entry(*row, also_shared=also_shared)
                if self._plan.bytes >= wish.bytes:
                    break
        return self._plan

    def entries(self, rows: Iterable[tuple[int, str, Key, int]]) -> Plan:
        """Return what must go to remove entries (number, kind, key, bytes of the file), whatever holds them."""
        for row in rows:
            self._note_entry(*row)
        return self._plan

    def _take_damaged(self, wish: Wish) -> None:
        for name, size in self._db.execute("SELECT name, bytes FROM damaged ORDER BY name"):
            when = name.partition("-")[0]
            old = wish.damaged_before is not None and when.isdecimal() and int(when) / 1e9 < wish.damaged_before
            if old or self._plan.bytes < wish.bytes:
                self._plan.damaged.append((name, size))
                self._plan.bytes += size

    def _take_broken(self) -> None:
        """Take entries that name an object which is gone: they are misses."""
        query = (
            "SELECT id, kind, key, file_bytes FROM entries WHERE EXISTS (SELECT 1 FROM refs"
            " WHERE refs.entry = entries.id"
            " AND NOT EXISTS (SELECT 1 FROM objects WHERE objects.digest = refs.digest))"
        )
        for row in self._db.execute(query).fetchall():
            self._take_entry(*row)

    def _take_loose(self, wish: Wish) -> None:
        for (digest,) in self._db.execute("SELECT digest FROM loose").fetchall():
            if not wish.tidy and self._plan.bytes >= wish.bytes:
                return
            if self._db.execute("SELECT 1 FROM refs WHERE digest = ?", (digest,)).fetchone() is None:
                before = len(self._plan.objects)
                self._take_object(digest)
                self._plan.loose += len(self._plan.objects) - before

    def _by_value(self) -> Iterator[tuple[int, str, Key, int]]:
        """Yield entries that may go, the least valuable first."""
        query = (
            "SELECT id, kind, key, file_bytes, rank FROM entries WHERE recoverable AND (rank, id) > (?, ?)"
            " ORDER BY rank, id LIMIT ?"
        )
        rank, number = float("-inf"), -1
        while True:
            rows = self._db.execute(query, (rank, number, _AT_A_TIME)).fetchall()
            if not rows:
                return
            for row in rows:
                yield row[:4]
            number, rank = rows[-1][0], rows[-1][4]

    def _take_entry(self, number: int, kind: str, key: Key, file_bytes: int, *, also_shared: bool = False) -> None:
        if number in self._gone or (kind, key) in self._held.entries:
            return
        promised = "SELECT 1 FROM intents WHERE kind = ? AND key = ?"
        if self._db.execute(promised, (kind, key)).fetchone():
            return
        staged = "SELECT 1 FROM refs JOIN intents USING (digest) WHERE refs.entry = ?"
        if also_shared or not self._db.execute(staged, (number,)).fetchone():
            self._note_entry(number, kind, key, file_bytes)

    def _note_entry(self, number: int, kind: str, key: Key, file_bytes: int) -> None:
        self._gone.add(number)
        self._plan.entries.append((number, kind, key))
        self._plan.bytes += file_bytes
        for (digest,) in self._db.execute("SELECT digest FROM refs WHERE entry = ?", (number,)).fetchall():
            others = self._db.execute("SELECT entry FROM refs WHERE digest = ?", (digest,))
            if all(other in self._gone for (other,) in others):
                self._take_object(digest)

    def _take_object(self, digest: str) -> None:
        if digest in self._freed or digest in self._held.objects:
            return
        if self._db.execute("SELECT 1 FROM intents WHERE digest = ?", (digest,)).fetchone():
            return
        self._freed.add(digest)
        for kept, size in self._db.execute("SELECT codec, bytes FROM objects WHERE digest = ?", (digest,)).fetchall():
            self._plan.objects.append((Digest(digest), cast("CodecName", kept), size))
            self._plan.bytes += size
