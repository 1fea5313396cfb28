"""Upkeep: collecting, verifying, and making the index anew."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from forebay.errors import InputError, ObjectDamagedError, ObjectMissingError, StoreFullError
from forebay.events import Event, What
from forebay.io import LeaseFolder
from forebay.store.ballast import Ballast
from forebay.store.eviction import Plan, Planner, Wish
from forebay.store.gathering import KEPT_SECONDS, Gathering
from forebay.store.holds import Holds
from forebay.store.layout import check_hex, check_kind
from forebay.store.ledger import Ledger, counted_bytes
from forebay.store.reading import Reader
from forebay.store.reports import Damage, EntryInfo, GcReport, ReindexReport, Share, Usage, VerifyReport
from forebay.store.scan import Scanner
from forebay.store.site import Site
from forebay.types import Entry, Key

if TYPE_CHECKING:
    import sqlite3

    from forebay.store.index import Index

_REMOVED_AT_A_TIME = 1024
"""Entries that go in one transaction, for which others wait."""

_DAMAGED_KEPT_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is done to a store now and then rather than all the time."""

    index: Index
    ledger: Ledger
    scanner: Scanner
    reader: Reader
    holds: Holds
    leases: LeaseFolder
    gathering: Gathering
    site: Site

    def gc(self, max_bytes: int | None, older_than_seconds: float | None, *, dry_run: bool) -> GcReport:
        """Collect; see `Store.gc`."""
        if dry_run:
            try:
                return self._collect(max_bytes, older_than_seconds, dry_run=True)
            except StoreFullError as error:
                hint = "collect in earnest, which finds the room it needs"
                raise StoreFullError(error.what, subject=self.site.settings.home, hint=hint) from error
        return self._ballast.carry(lambda: self._collect(max_bytes, older_than_seconds, dry_run=False))

    def _collect(self, max_bytes: int | None, older_than_seconds: float | None, *, dry_run: bool) -> GcReport:
        temporaries, freed = (0, 0) if dry_run else self.scanner.remove_temporaries()
        if not dry_run:
            self._put_right()
        limit = self.site.settings.max_bytes if max_bytes is None else max_bytes
        now = self.site.fs.now()
        partials, partial_bytes, gathered = self._collect_partials(limit, older_than_seconds, dry_run=dry_run)

        def wish(db: sqlite3.Connection) -> Wish:
            total = counted_bytes(db) + gathered
            over = max(0, total - limit) if limit is not None else 0
            over = max(over, self.site.settings.min_free_bytes - self.site.fs.space(self.site.settings.home).free)
            before = None if older_than_seconds is None else now - older_than_seconds
            return Wish(over, before, tidy=True, damaged_before=now - _DAMAGED_KEPT_SECONDS)

        if dry_run:
            plan, left, spared = self.index.read(
                lambda db: self._counted(db, Planner(db, self.holds.held()).plan(wish(db)), freed=False)
            )
        else:
            plan, left, spared = self.ledger.transact(
                lambda db: self._counted(db, self.ledger.evict(db, wish(db)), freed=True)
            )
            self.ledger.tell(plan)
            self._sweep_leases()
        return GcReport(
            entries=len(plan.entries),
            objects=len(plan.objects),
            loose=plan.loose,
            damaged=len(plan.damaged),
            temporaries=temporaries,
            partials=partials,
            bytes=plan.bytes + freed + partial_bytes,
            left_bytes=left + gathered,
            spared=spared,
            removed=tuple((kind, key) for _, kind, key in plan.entries),
            dry_run=dry_run,
        )

    def _collect_partials(
        self, limit: int | None, older_than_seconds: float | None, *, dry_run: bool
    ) -> tuple[int, int, int]:
        """Remove partial downloads; return how many, their bytes, and those that count beside the books then."""
        found = self.gathering.found()
        if not found:
            return 0, 0, 0
        total = self.index.read(self.gathering.uncounted)
        over = 0 if limit is None else self.index.read(counted_bytes) + total - limit
        kept = min(KEPT_SECONDS, KEPT_SECONDS if older_than_seconds is None else older_than_seconds)
        going = self.gathering.going(found, over, self.site.fs.now() - kept)
        gone = [each.bytes for each in going if dry_run or self.gathering.remove(each.key)]
        left = self.index.read(self.gathering.uncounted)
        return len(gone), sum(gone), max(left - sum(gone), 0) if dry_run else left

    def verify(self, fraction: float, seed: int) -> VerifyReport:
        """Check objects and entries; see `Store.verify`."""
        began = time.perf_counter()
        chance = random.Random(seed)
        damaged: list[Damage] = []
        objects = hashed = 0
        for digest, kept in self.scanner.objects():
            if fraction < 1 and chance.random() >= fraction:
                continue
            try:
                hashed += self.reader.verify(digest, kept)
                objects += 1
            except ObjectDamagedError as error:
                damaged.append(Damage("", digest, error.what))
                objects += 1
            except ObjectMissingError:
                continue  # evicted while we looked
            self.site.hook(
                Event(What.PROGRESS, key=digest, facts={"phase": "verify", "objects": objects, "bytes": hashed})
            )
        entries = 0
        missing: list[Damage] = []
        for kind, key in self.scanner.entries():
            if fraction < 1 and chance.random() >= fraction:
                continue
            try:
                missing += self._gaps(self.reader.sound_entry(kind, key))
            except ObjectDamagedError:
                damaged.append(Damage(kind, key, "it cannot be read"))
            except ObjectMissingError:
                continue  # evicted while we looked
            entries += 1
        missing = [gap for gap in missing if self._still_missing(gap)]
        seconds = time.perf_counter() - began
        report = VerifyReport(objects, entries, hashed, seconds, tuple(damaged), tuple(missing))
        self.site.hook(Event(What.VERIFY, bytes=hashed, seconds=seconds, facts={"damaged": len(damaged)}))
        return report

    def reindex(self) -> ReindexReport:
        """Make the index anew; see `Store.reindex`."""
        began = time.perf_counter()
        self.index.rebuild()

        def count(db: sqlite3.Connection) -> tuple[int, int, int, int]:
            return db.execute(
                "SELECT (SELECT COUNT(*) FROM entries), (SELECT COUNT(*) FROM objects), objects + entries,"
                " (SELECT COUNT(*) FROM damaged) FROM totals"
            ).fetchone()

        return ReindexReport(*self.index.read(count), seconds=time.perf_counter() - began)

    def usage(self) -> Usage:
        """Say what is there; see `Store.usage`."""
        free = self.site.fs.space(self.site.settings.home).free
        gathered = self.gathering.found()
        partial_bytes = sum(each.bytes for each in gathered)

        def count(db: sqlite3.Connection) -> Usage:
            uncounted = self.gathering.uncounted(db)
            totals = db.execute("SELECT objects, entries, reserved, damaged FROM totals").fetchone()
            counts = db.execute(
                "SELECT (SELECT COUNT(*) FROM objects), (SELECT COUNT(*) FROM entries), (SELECT COUNT(*) FROM damaged)"
            ).fetchone()
            return Usage(
                bytes=sum(totals) + uncounted,
                objects=counts[0],
                object_bytes=totals[0],
                entries=counts[1],
                entry_bytes=totals[1],
                reserved_bytes=totals[2],
                damaged=counts[2],
                damaged_bytes=totals[3],
                partials=len(gathered),
                partial_bytes=partial_bytes,
                max_bytes=self.site.settings.max_bytes,
                free_bytes=free,
                kinds=_shares(db, 0),
                datasets=_shares(db, 1),
            )

        return self.index.read(count)

    def entries(self, kind: str | None, dataset: str | None) -> Iterator[EntryInfo]:
        """List entries; see `Store.entries`."""
        conditions = {"kind": kind, "dataset": dataset}
        given = {name: value for name, value in conditions.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given) or "1"
        query = f"SELECT kind, key, dataset, bytes, created, used, cost_seconds, recoverable FROM entries WHERE {where}"
        rows = self.index.read(lambda db: db.execute(query, tuple(given.values())).fetchall())
        pinned = self.holds.pinned()
        for its_kind, key, its_dataset, size, created, used, seconds, recoverable in rows:
            yield EntryInfo(
                its_kind, key, its_dataset, size, created, used, (its_kind, key) in pinned, seconds, bool(recoverable)
            )

    def remove(self, places: Iterable[tuple[str, Key]], *, spare_pinned: bool) -> list[tuple[str, Key]]:
        """Remove entries and the objects that nothing else names or relies on; see `Store.remove_all`."""
        wanted = list(dict.fromkeys(places))
        for kind, key in wanted:
            check_kind(kind)
            check_hex(key, "key")
        pinned = self.holds.pinned().intersection(wanted)
        for kind, key in () if spare_pinned else sorted(pinned):
            raise InputError(f"{kind} {key[:12]} is pinned", subject=key, hint=f"forebay unpin {kind}:{key[:12]}")
        left = [place for place in wanted if place not in pinned]
        removed: list[tuple[str, Key]] = []
        for start in range(0, len(left), _REMOVED_AT_A_TIME):
            work = partial(self._removed, places=left[start : start + _REMOVED_AT_A_TIME])
            plan = self._ballast.carry(partial(self.ledger.transact, work))
            removed += [(kind, key) for _, kind, key in plan.entries]
        return removed

    def _removed(self, db: sqlite3.Connection, places: Sequence[tuple[str, Key]]) -> Plan:
        for kind, key in places:
            if not self.ledger.books.knows_entry(db, kind, key):
                self.ledger.books.sync_entry(db, kind, key)
        query = "SELECT id, kind, key, file_bytes FROM entries WHERE kind = ? AND key = ?"
        rows = [row for place in places if (row := db.execute(query, place).fetchone()) is not None]
        plan = Planner(db, self.holds.held()).entries(rows)
        self.ledger.carry_out(db, plan)
        return plan

    @property
    def _ballast(self) -> Ballast:
        return Ballast(self.site.fs, self.site.layout.ballast)

    def _counted(self, db: sqlite3.Connection, plan: Plan, *, freed: bool) -> tuple[Plan, int, int]:
        held = self.holds.held()
        spared = {
            (kind, key)
            for kind, key, recoverable in db.execute("SELECT kind, key, recoverable FROM entries")
            if not recoverable or (kind, key) in held.entries
        }
        return plan, counted_bytes(db) - (0 if freed else plan.bytes), len(spared)

    def _put_right(self) -> None:
        """Compare index and files, and take the differences into the books: files are the truth."""
        objects = set(self.scanner.objects())
        entries = set(self.scanner.entries())
        damaged = list(self.scanner.damaged())

        def work(db: sqlite3.Connection) -> None:
            self.ledger.reclaim(db)
            known = set(db.execute("SELECT digest, codec FROM objects"))
            for digest in {digest for digest, _ in objects ^ known}:
                self.ledger.books.enter_object(db, digest)
            listed = set(db.execute("SELECT kind, key FROM entries"))
            for kind, key in entries ^ listed:
                self.ledger.books.sync_entry(db, kind, key)
            db.execute("DELETE FROM damaged")
            db.executemany("INSERT INTO damaged VALUES (?, ?)", damaged)

        self.ledger.transact(work)

    def _sweep_leases(self) -> None:
        try:
            self.leases.sweep()
        except OSError:
            pass  # what the dead left is taken over by whoever wants the work

    def _gaps(self, entry: Entry) -> list[Damage]:
        """Return the objects that an entry names, and that are not there."""
        gone = [ref for ref in entry.objects if self.reader.find(ref.digest) is None]
        return [
            Damage(entry.kind, entry.key, f"its object {ref.digest[:12]} ({ref.role}) is not there") for ref in gone
        ]

    def _still_missing(self, gap: Damage) -> bool:
        """Look again at an entry: it may have been evicted, or made anew, while we went on."""
        found = self.reader.entry(gap.kind, Key(gap.name))
        return found is not None and bool(self._gaps(found))


def _shares(db: sqlite3.Connection, column: int) -> dict[str, Share]:
    """Add up by kind (0) or dataset (1). In Python: SQLite is slow at distinct pairs of long texts."""
    sizes: dict[str, int] = {}
    for digest, size in db.execute("SELECT digest, bytes FROM objects"):
        sizes[digest] = sizes.get(digest, 0) + size
    places: dict[int, str] = {}
    entries: dict[str, int] = {}
    total: dict[str, int] = {}
    for row in db.execute("SELECT kind, dataset, id, file_bytes FROM entries"):
        name = places[row[2]] = row[column]
        entries[name] = entries.get(name, 0) + 1
        total[name] = total.get(name, 0) + row[3]
    objects: dict[str, set[str]] = {name: set() for name in entries}
    for number, digest in db.execute("SELECT entry, digest FROM refs"):
        if digest in sizes:
            objects[places[number]].add(digest)
    return {
        name: Share(count, len(objects[name]), total[name] + sum(sizes[digest] for digest in objects[name]))
        for name, count in sorted(entries.items())
    }
