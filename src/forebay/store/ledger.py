"""The budget: who may write how much, what is there, and what goes to make room.

Invariant, kept by one IMMEDIATE transaction each time: bytes at rest of objects, entries, damaged files and files that
gather, and what is reserved for files on their way, never exceed `max_bytes`. Files that are removed are unlinked while
that transaction holds the index's lock, before their bytes count as free; files that are written are written after it,
under an *intent* that also keeps eviction away from what they rely on. A process that dies leaves its intents; whoever
finds them looks which of the files came into being, and takes them into the books.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from forebay import text
from forebay.config import CodecName
from forebay.errors import StoreFullError
from forebay.events import Event, What
from forebay.store import session
from forebay.store.aside import Quarantine
from forebay.store.books import Books
from forebay.store.eviction import Plan, Planner, Wish
from forebay.store.files import quietly
from forebay.store.gathering import Gathering
from forebay.store.holds import Holds
from forebay.store.intents import Intent, Order, Published, Relied
from forebay.types import Digest, Key

if TYPE_CHECKING:
    import sqlite3

    from forebay.store.index import Index
    from forebay.store.site import Site

Result = TypeVar("Result")

_SLACK = 128
"""When something must go, this part of the budget goes beside it, so that the next few writes need not evict."""


class Ledger:
    """Keeps a store's books in its index. Safe over threads, processes and forks."""

    def __init__(self, index: Index, site: Site, holds: Holds, aside: Quarantine, gathering: Gathering) -> None:
        self.books = Books(site.fs, site.layout, site.files)
        self._index = index
        self._fs = site.fs
        self._layout = site.layout
        self._files = site.files
        self._settings = site.settings
        self._mine = site.mine
        self._holds = holds
        self._aside = aside
        self._gathering = gathering
        self._hook = site.hook
        self._registered: str | None = None
        self._live: dict[int, Intent] = {}
        """What we have noted, so that it can be noted again in an index that was made anew meanwhile."""

    def transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a transaction of a registered session."""
        self._register()

        def known(db: sqlite3.Connection) -> Result:
            self._renew(db)
            return work(db)

        return self._index.write(known)

    def reserve(self, intents: Sequence[Intent], instead_of: Sequence[Intent] = ()) -> None:
        """Note what is about to be written or relied on, making room for it first.

        Args:
            intents: what.
            instead_of: intents whose room this takes over; from then on they have none.

        Raises:
            StoreFullError: there is no room, and not enough may go.
        """
        order = Order(intents, instead_of)
        short, plan = self.transact(lambda db: self._reserve(db, order, last=False))
        if short > 0:  # what nobody goes on with goes before any entry, and not under the index's lock
            self._gathering.make_room(short)
            short, plan = self.transact(lambda db: self._reserve(db, order, last=True))
        self.tell(plan)
        if short > 0:
            limit, spare = self._settings.max_bytes, self._settings.min_free_bytes
            of = f"the budget of {text.size(limit)}" if limit is not None else f"{self._layout.home}"
            if spare and limit is None:
                of += f", where min_free_bytes keeps {text.size(spare)} of the disk free"
            wanted = f"no room for {text.size(order.need)} in {of}: {text.size(short)} more are wanted"
            hint = "unpin or free the disk" if limit is None else "raise max_bytes, unpin or free the disk"
            error = StoreFullError(f"{wanted}, and what is left may not go", subject=self._layout.home, hint=hint)
            error.on_its_way = self.transact(self._reserved_by_others)
            raise error

    def make_room(self, size: int) -> int:
        """Evict until `size` bytes at rest are gone, or nothing more may go; return how many went."""

        def work(db: sqlite3.Connection) -> Plan:
            self.reclaim(db)
            return self.evict(db, Wish(bytes=size))

        plan = self.transact(work)
        self.tell(plan)
        return plan.bytes

    def known(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return those that the books have, or that somebody is about to publish or relies on.

        One question for many objects that are mostly new, where files would be asked for under each codec.
        """
        asked = json.dumps(list(digests))
        among = "digest IN (SELECT value FROM json_each(?1))"
        query = f"SELECT digest FROM objects WHERE {among} UNION SELECT digest FROM intents WHERE {among}"
        return self._index.read(lambda db: {digest for (digest,) in db.execute(query, (asked,))})

    def rely(self, intents: Sequence[Intent], is_there: Callable[[Intent], CodecName | None]) -> list[Relied | None]:
        """Keep eviction away from objects that are there; return how each is kept, or None.

        Looked at under the lock under which eviction removes files, so it stays there.
        """

        def work(db: sqlite3.Connection) -> list[Relied | None]:
            found: list[Relied | None] = []
            for intent in intents:
                kept = is_there(intent)
                found.append(Relied(kept, self._is_durable(db, intent.digest, kept)) if kept is not None else None)
            self._note(db, [intent for intent, one in zip(intents, found, strict=True) if one is not None])
            return found

        return self.transact(work)

    def amend(self, intent: Intent, *, drop: Iterable[int]) -> None:
        """Say what several intents came to: one, of no more bytes than they reserved together."""

        def work(db: sqlite3.Connection) -> None:
            self._forget(db, [intent.number, *drop])
            self._note(db, [intent])

        self.transact(work)

    def settle(
        self,
        numbers: Iterable[int],
        objects: Sequence[tuple[Digest, CodecName, int]],
        relied: Sequence[tuple[Digest, CodecName]],
        published: Sequence[Published],
    ) -> None:
        """Turn what was on its way into what is there.

        Args:
            numbers: of the intents.
            objects: that were published: digest, codec, bytes at rest.
            relied: objects of others, whose names have been made durable, that may not be in the books.
            published: entries.
        """
        named = {ref.digest for each in published for ref in each.entry.objects}
        unnamed = {digest for digest, *_ in (*objects, *relied)} - named

        def work(db: sqlite3.Connection) -> None:
            self.books.enter_published(db, objects)
            for digest, kept in relied:
                self.books.enter_file(db, digest, kept)
            if unnamed:
                self.books.note_if_loose(db, unnamed)
            self.books.enter_entries(db, published, self._fs.now())
            self._forget(db, numbers)

        self.transact(work)

    def give_up(
        self,
        numbers: Iterable[int],
        digests: Iterable[Digest],
        entries: Mapping[tuple[str, Key], bytes],
        taken_over: Iterable[Intent] = (),
    ) -> None:
        """Drop intents whose work failed, entries that were published all the same, and objects that are nobody's now.

        Args:
            numbers: of the intents.
            digests: of objects that may have come into being.
            entries: the files of entries that may have. Left is what somebody else has put there since, and what took
                an older one's place: that cannot come back.
            taken_over: intents whose room was taken over; those that are still there have it again.
        """

        def work(db: sqlite3.Connection) -> None:
            known = "SELECT 1 FROM entries WHERE kind = ? AND key = ?"
            new = [place for place in entries if db.execute(known, place).fetchone() is None]
            paths = {place: self._layout.entry(*place) for place in new}
            self._unlink(path for place, path in paths.items() if self._files.holds(path, entries[place]))
            for kind, key in entries:
                self.books.sync_entry(db, kind, key)
            self._forget(db, numbers)
            given_back = [each for each in taken_over if each.number in self._live]
            self._forget(db, [each.number for each in given_back])
            self._note(db, given_back)
            plan = Plan()
            for digest in digests:
                self.books.enter_object(db, digest)
                self._plan_orphan(db, digest, plan)
            self.carry_out(db, plan)

        self.transact(work)

    def at_rest(self, db: sqlite3.Connection, besides: Collection[Key] = ()) -> int:
        """Return the bytes that the budget limits, without what gathers under some keys."""
        return counted_bytes(db) + self._gathering.uncounted(db, besides)

    def room(self, db: sqlite3.Connection) -> int:
        """Return how many bytes fit into the budget and onto the disk, as it is."""
        free, limit = self._free(), self._settings.max_bytes
        return free if limit is None else min(free, limit - self.at_rest(db))

    def evict(self, db: sqlite3.Connection, wish: Wish, *, at_least: int = 0) -> Plan:
        """Remove what must go to fulfil the wish; nothing at all if that would free less than `at_least` bytes."""
        plan = Planner(db, self._holds.held()).plan(wish)
        if plan.bytes < at_least:
            return Plan()
        self.carry_out(db, plan)
        return plan

    def carry_out(self, db: sqlite3.Connection, plan: Plan) -> None:
        """Unlink files, entries first, and take them off the books.

        Folders are flushed before the bytes count as free: else a power cut could bring the files back beside those
        that were written in their place. A journal commits once for all of them.
        """
        self._unlink(self._layout.entry(kind, key) for _, kind, key in plan.entries)
        self._unlink(self._layout.object(digest, kept) for digest, kept, _ in plan.objects)
        self._unlink(self._layout.quarantine / name for name, _ in plan.damaged)
        for number, _, _ in plan.entries:
            self.books.drop_entry(db, number)
        for digest, kept, _ in plan.objects:
            db.execute("DELETE FROM objects WHERE digest = ? AND codec = ?", (digest, kept))
            db.execute("DELETE FROM loose WHERE digest = ?", (digest,))
        db.executemany("DELETE FROM damaged WHERE name = ?", ((name,) for name, _ in plan.damaged))

    def tell(self, plan: Plan) -> None:
        """Say what was evicted, once the transaction is through."""
        if plan.entries or plan.objects:
            facts = {"entries": len(plan.entries), "objects": len(plan.objects)}
            message = f"evicted {len(plan.entries)} entries and {len(plan.objects)} objects"
            self._hook(Event(What.EVICT, message, bytes=plan.bytes, facts=facts))

    def close(self) -> None:
        """Take the session off the books, and into them what it left on its way where it could not say so before."""
        if self._aside.untold:
            self.transact(self._note_damaged)
        token, self._registered = self._registered, None
        if token is not None and token == self._mine.token:
            self._index.write(lambda db: self._conclude(db, token))

    def _conclude(self, db: sqlite3.Connection, token: str) -> None:
        left = db.execute("SELECT digest, kind, key FROM intents WHERE token = ?", (token,)).fetchall()
        for digest, kind, key in left:
            if digest is not None:
                self.books.enter_object(db, digest)
            elif kind is not None:
                self.books.sync_entry(db, kind, key)
        self._deregister(db, token)

    def _deregister(self, db: sqlite3.Connection, token: str) -> None:
        db.execute("DELETE FROM intents WHERE token = ?", (token,))
        db.execute("DELETE FROM sessions WHERE token = ?", (token,))

    def _register(self) -> None:
        """Note that we may have files on their way, so durably that a power cut cannot make the books look right."""
        token = self._mine.token
        if self._registered != token:
            self._live.clear()  # in a forked child: the parent's
            self._index.write(lambda db: self._begin(db, token), durable=True)
            self._registered = token

    def _renew(self, db: sqlite3.Connection) -> None:
        """If the index was lost and made anew, say again what is on its way; a scan sees only what is written."""
        query = (
            "SELECT (SELECT COUNT(*) FROM sessions WHERE token = ?1),"
            " (SELECT COUNT(*) FROM intents WHERE token = ?1 AND number < 0)"
        )
        if db.execute(query, (self._mine.token,)).fetchone() != (1, 0):
            db.execute("DELETE FROM intents WHERE token = ?", (self._mine.token,))
            self._note(db, list(self._live.values()))

    def _begin(self, db: sqlite3.Connection, token: str) -> None:
        self.reclaim(db)
        db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?)", (token, self._fs.now()))

    def _reserve(self, db: sqlite3.Connection, order: Order, *, last: bool) -> tuple[int, Plan]:
        """Return how many bytes are wanting, 0 when the intents are noted, and what had to go.

        Nothing is evicted as long as something that gathered could go instead, unless this is the last attempt.
        """
        self._note_damaged(db)
        plan = Plan()
        short = self._wanting(db, order)
        if short > 0:
            self.reclaim(db)
            short = self._wanting(db, order)
        if short > 0 and (last or not self._gathering.uncounted(db, order.keys)):
            slack = (self._settings.max_bytes or 0) // _SLACK
            plan = self.evict(db, Wish(bytes=short + slack), at_least=short)
            short = self._wanting(db, order)
        if short <= 0:
            self._forget(db, [each.number for each in order.instead_of])
            self._note(db, [*order.intents, *(replace(each, bytes=0) for each in order.instead_of)])
        return max(short, 0), plan

    def _wanting(self, db: sqlite3.Connection, order: Order) -> int:
        if order.need <= 0:
            return 0
        short = order.on_disk - self._free()
        if self._settings.max_bytes is not None:
            short = max(short, self.at_rest(db, order.keys) + order.need - self._settings.max_bytes)
        return short

    def _reserved_by_others(self, db: sqlite3.Connection) -> int:
        query = "SELECT COALESCE(SUM(bytes), 0) FROM intents WHERE token <> ?"
        return db.execute(query, (self._mine.token,)).fetchone()[0]

    def _free(self) -> int:
        return self._fs.space(self._layout.home).free - self._settings.min_free_bytes

    def _note(self, db: sqlite3.Connection, intents: Iterable[Intent]) -> None:
        token = self._mine.token
        intents = list(intents)
        self._live.update((each.number, each) for each in intents)
        db.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?)", (token, self._fs.now()))
        facts = [(each.number, each.digest, each.kind, each.key, each.bytes) for each in intents]
        columns = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(5))
        db.execute(f"INSERT OR REPLACE INTO intents SELECT ?, {columns} FROM json_each(?)", (token, json.dumps(facts)))

    def _forget(self, db: sqlite3.Connection, numbers: Iterable[int]) -> None:
        token, done = self._mine.token, list(numbers)
        for number in done:
            self._live.pop(number, None)
        if done:
            db.execute(
                "DELETE FROM intents WHERE token = ? AND number IN (SELECT value FROM json_each(?))",
                (token, json.dumps(done)),
            )

    def _is_durable(self, db: sqlite3.Connection, digest: Digest | None, kept: CodecName) -> bool:
        """Tell whether an object's name surely survives a power cut: the books have it, and nobody is at it."""
        query = (
            "SELECT 1 FROM objects WHERE digest = ?1 AND codec = ?2"
            " AND NOT EXISTS (SELECT 1 FROM intents WHERE digest = ?1)"
        )
        return db.execute(query, (digest, kept)).fetchone() is not None

    def _note_damaged(self, db: sqlite3.Connection) -> None:
        for moved in self._aside.drain():
            db.execute("INSERT OR REPLACE INTO damaged VALUES (?, ?)", (moved.name, moved.bytes))
            self.books.sync_path(db, moved.origin)

    def _plan_orphan(self, db: sqlite3.Connection, digest: Digest, plan: Plan) -> None:
        for table in ("refs", "intents"):
            if db.execute(f"SELECT 1 FROM {table} WHERE digest = ?", (digest,)).fetchone():
                return
        for kept, size in db.execute("SELECT codec, bytes FROM objects WHERE digest = ?", (digest,)).fetchall():
            plan.objects.append((digest, cast("CodecName", kept), size))
            plan.bytes += size

    def _unlink(self, paths: Iterable[Path]) -> None:
        folders: dict[Path, None] = {}
        for path in paths:
            quietly(self._fs.unlink, path)
            folders[path.parent] = None
        self._files.flush_folders(folders)

    def reclaim(self, db: sqlite3.Connection) -> None:
        """Take over what dead sessions left: their files into the books, their reservations off them."""
        self._note_damaged(db)
        now = self._fs.now()
        for token, seen in db.execute("SELECT token, seen FROM sessions").fetchall():
            if session.is_over(token, now - seen):
                self._sweep(token)
                self._conclude(db, token)

    def _sweep(self, token: str) -> None:
        for name, _ in self._fs.scan(self._layout.tmp):
            if session.token_of(name) == token:
                quietly(self._fs.unlink, self._layout.tmp / name)


def counted_bytes(db: sqlite3.Connection) -> int:
    """Return the bytes that the books themselves count against the budget."""
    return db.execute("SELECT objects + entries + reserved + damaged FROM totals").fetchone()[0]
