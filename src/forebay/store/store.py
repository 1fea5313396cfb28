"""The store: what is found under a key, and how it comes to be there."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from forebay import config
from forebay.config import Settings
from forebay.events import Event, Hook, What, ignore
from forebay.io import Filesystem, Lease, LeaseFolder, LocalFilesystem, Progress
from forebay.store.aside import Quarantine
from forebay.store.batch import Batch
from forebay.store.fetching import Fetching
from forebay.store.files import Files, store_error
from forebay.store.flight import Flight
from forebay.store.gathering import Gathering
from forebay.store.holds import Holds, Pin
from forebay.store.index import Index, IndexPlace
from forebay.store.layout import Layout, check_hex, check_kind
from forebay.store.ledger import Ledger
from forebay.store.memo import IndexMemo
from forebay.store.names import Names
from forebay.store.opening import as_shared, finish, finish_dropped, prepare, trusted, unwritable, write_recency
from forebay.store.reading import Reader
from forebay.store.recency import Recency
from forebay.store.scan import Scanner
from forebay.store.session import Session
from forebay.store.site import Site
from forebay.store.workshop import Workshop
from forebay.types import Buffer, Digest, Entry, Key

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.store.allotment import Allotment
    from forebay.store.reports import EntryInfo, GcReport, ReindexReport, Usage, VerifyReport
    from forebay.store.upkeep import Upkeep

Result = TypeVar("Result")


class Store(Fetching):
    """Objects by the digest of their content, and entries that name them by the key of the work that made them.

    Safe to use from threads, from several processes at once, and after fork(). Reading needs
    neither lock nor index nor write access. Example::

        with Store.open() as store:
            entry = store.get("delta", key)
            if entry is None or not store.complete(entry):
                store.commit(Entry("delta", key, cost=Cost(seconds=0.4)), {"patch": payload})
    """

    def __init__(self, settings: Settings, fs: Filesystem, hook: Hook) -> None:
        self.settings = settings
        """What the store was opened with."""
        self._hook = hook
        layout = Layout(settings.home)
        self._session = session = Session()
        files = Files(fs, layout, group=settings.group, temporary=lambda: f"{session.token}-{session.number()}")
        self._site = site = Site(settings, fs, layout, files, session, hook)
        try:
            self.writable = prepare(site)
            """Whether this process may write to the store."""
        except BaseException:
            session.end()
            raise
        aside = Quarantine(fs, layout, writable=self.writable, hook=hook)
        self._reader = Reader(fs, layout, policy=settings.verify, aside=aside, hook=hook)
        self._holds = Holds(fs, layout, files, lease_seconds=settings.lease_seconds, writable=self.writable)
        self._leases = LeaseFolder(fs, layout.leases, lease_seconds=settings.lease_seconds, dir_mode=files.dir_mode)
        self._gathering = Gathering(fs, layout, self._leases)
        on_disk = layout.home.is_dir()  # else it is a store in memory
        place = IndexPlace(layout.index if on_disk else None, self.writable, settings.group)
        scanner = Scanner(fs, layout, aside, writable=self.writable)
        index = Index(place, fill=scanner.fill, trusted=trusted)
        self._ledger = Ledger(index, site, self._holds, aside, self._gathering)
        self._index = index
        self._recency = Recency(lambda used: write_recency(index, used), fs.now)
        self._scanner = scanner
        self._workshop = Workshop(fs, layout, files, self._ledger, self._reader, session, settings.codec)
        self.file_memo = IndexMemo(index, writable=self.writable, now=fs.now)
        """Digests of files outside of the store, for `forebay.fingerprint.file_digest`."""
        self.names = Names(layout, files, self._check_writable)
        """Human names for entries."""
        kept = self._recency, self.file_memo, self._ledger, session, index, self.writable
        self._finish = weakref.finalize(self, finish_dropped, *kept)
        if self.writable:
            scanner.remove_temporaries()

    @staticmethod
    def open(settings: Settings | None = None, *, fs: Filesystem | None = None, hook: Hook = ignore) -> Store:
        """Open the store in `settings.home`, making it where there is none.

        A home that may not be written opens for reading only, with a warning to `hook`.

        Args:
            settings: None: as the environment and the configuration file say.
            fs: the file system; None: this machine's. Where its home is no real folder, the index is in memory.
            hook: is told what happens.

        Raises:
            ConfigError: a setting is wrong.
            StoreError: there is no store and none can be made, or it is of a format that this version does not know.
        """
        settings = as_shared(settings or config.resolve())
        return Store(settings, fs or LocalFilesystem(exact_modes=settings.group), hook)

    @property
    def home(self) -> Path:
        """The store's folder."""
        return self.settings.home

    def close(self) -> None:
        """Write down what is still in memory (recency, digests of files) and close the index. Twice is fine."""
        if left := self._finish.detach():
            finish(*left[2])

    def abandon(self) -> None:
        """Leave everything as it is, as a kill would: for tests of what the next one finds."""
        self._finish.detach()
        self._session.end()
        self._index.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # Reading

    def get(self, kind: str, key: Key) -> Entry | None:
        """Return an entry, or None (a miss). A damaged one is set aside, told, and a miss.

        Its objects may have gone since; `complete` tells.

        Raises:
            InputError: `kind` or `key` has not the form of one.
        """
        found = self._look(kind, key)
        if found is None:
            self._hook(Event(What.MISS, key=key, kind=kind))
        else:
            self._hook(Event(What.HIT, key=key, kind=kind, bytes=found.cost.bytes, seconds=found.cost.seconds))
        return found

    def read(self, digest: Digest) -> memoryview:
        """Return an object's decoded bytes, read-only; a view of the file itself where it is raw at rest.

        Checked as `settings.verify` says. The view stays valid when the object is evicted.

        Raises:
            InputError: not a digest.
            ObjectMissingError: it is not there.
            ObjectDamagedError: its bytes are not what its name says; it has been set aside.
        """
        check_hex(digest, "digest")
        return self._reader.object(digest)

    def has(self, digest: Digest) -> bool:
        """Tell whether an object is there; its bytes are not looked at."""
        check_hex(digest, "digest")
        return self._reader.find(digest) is not None

    def complete(self, entry: Entry) -> bool:
        """Tell whether all objects of an entry are there; their bytes are not looked at."""
        return all(self._reader.find(ref.digest) is not None for ref in entry.objects)

    # Writing

    def batch(self) -> Batch:
        """Begin a group commit; see `Batch`.

        Raises:
            StoreReadOnlyError: the store may not be written.
        """
        self._check_writable()
        return Batch(self._workshop)

    def commit(self, entry: Entry, objects: Mapping[str, Buffer | Iterable[Buffer]] | None = None) -> Entry:
        """Publish one entry with its objects, and return it as published.

        Args:
            entry: its `objects` may name what is in the store already.
            objects: the bytes of further objects, by role; the entry is made to name them, in this order.

        Raises:
            StoreError: see `Batch`.
        """
        with self.batch() as batch:
            refs = [batch.put(role, data) for role, data in (objects or {}).items()]
            given = {ref.role for ref in refs}
            whole = replace(entry, objects=(*(ref for ref in entry.objects if ref.role not in given), *refs))
            batch.add(whole)
        return batch.committed(whole)

    def build(
        self, kind: str, key: Key, make: Callable[[Batch], Entry], *, on_wait: Callable[[Progress], None] | None = None
    ) -> Entry:
        """Return the entry under a key, made once over all processes that ask for it.

        Args:
            kind: of the entry.
            key: of the entry.
            make: puts objects into a batch and returns the entry; called where nobody else is at it. Its error is
                raised here, nothing is published, and whoever waits tries it next.
            on_wait: told how far the other is, again and again while we wait.

        Raises:
            StoreReadOnlyError: it is not there, and may not be written.
            StoreError: see `Batch`.
        """
        if not self.writable and (found := self._whole(kind, key)) is not None:
            return found
        self._check_writable()
        return Flight(self._leases, self._whole, self.batch, self._hook).build(kind, key, make, on_wait)

    def lease(self, key: Key) -> Lease | None:
        """Take the lease on some work; None: somebody alive has it.

        Raises:
            StoreReadOnlyError: the store may not be written.
            StoreError: the lease cannot be taken; the work can be done without.
        """
        self._check_writable()
        check_hex(key, "key")
        return self._told(f"take the lease on {key[:12]} in", lambda: self._leases.acquire(key))

    def lease_progress(self, key: Key) -> Progress | None:
        """Return how far the work under a key is; None: nobody alive does it."""
        check_hex(key, "key")
        return self._told(f"look at the lease on {key[:12]} in", lambda: self._leases.progress(key))

    def allot(self, key: Key, size: int, told: str = "cannot gather a file") -> Allotment:
        """Set bytes of the budget apart for what its owner gathers under a lease in ``partials-v1/<key>``.

        Raises:
            StoreError: see `Batch`; where there is no room it begins with what is `told`.
        """
        from forebay.store.allotment import Allotment  # who downloads nothing needs none

        self._check_writable()
        check_hex(key, "key")
        return self._told("reserve room in", lambda: Allotment(self._ledger, self._session, key, size, told))

    # Holding

    def pin(self, kind: str, key: Key, note: str = "") -> None:
        """Keep an entry and its objects for ever.

        Raises:
            NotFoundError: there is no such entry.
            StoreError: it cannot be written down.
        """
        self._check_writable()
        self._holds.pin(self._look(kind, key), kind, key, note)

    def unpin(self, kind: str, key: Key) -> bool:
        """Keep an entry no longer; tell whether it was pinned."""
        self._check_writable()
        return self._holds.unpin(kind, key)

    def pins(self) -> list[Pin]:
        """Return what is pinned, the oldest first."""
        return self._told("list the pins of", self._holds.pins)

    def reading(self, entries: Iterable[tuple[str, Key]]) -> AbstractContextManager[None]:
        """Hold entries and their objects against eviction, as long as the block runs and this process lives.

        Where the store may not be written nothing is held: eviction by others may then cause misses.
        """
        wanted = list(entries)
        if not self.writable:
            return nullcontext()
        token = f"{self._session.token}-{self._session.number()}"
        return self._holds.reading(token, wanted, [self._look(kind, key) for kind, key in wanted])

    # Upkeep

    def gc(
        self, max_bytes: int | None = None, older_than_seconds: float | None = None, dry_run: bool = False
    ) -> GcReport:
        """Collect garbage and evict, sparing pins, readers, batches under way and what cannot be made again.

        Removed in any case: objects that no entry names, entries whose objects have gone, temporaries and leases of the
        dead, and files that were set aside a week ago.

        Args:
            max_bytes: evict, the least valuable first, until no more than this is left, at rest; None: the budget.
            older_than_seconds: also evict what was not used for this long.
            dry_run: only say what would go.

        Raises:
            StoreReadOnlyError: the store may not be written.
            StoreError: the index or a file cannot be changed.
        """
        if not dry_run:
            self._check_writable()
            self._flush()
        return self._told("collect", lambda: self._upkeep.gc(max_bytes, older_than_seconds, dry_run=dry_run))

    def verify(self, fraction: float = 1.0, seed: int = 0) -> VerifyReport:
        """Check objects and entries against their names; what is damaged is set aside.

        Args:
            fraction: how many of them, 0 to 1, chosen by `seed`.
            seed: another one chooses others.
        """
        return self._told("verify", lambda: self._upkeep.verify(fraction, seed))

    def reindex(self) -> ReindexReport:
        """Make the index anew from the files.

        Raises:
            StoreReadOnlyError: the store may not be written.
        """
        self._check_writable()
        self._flush()
        return self._told("reindex", lambda: self._upkeep.reindex())

    def usage(self) -> Usage:
        """Say how much is there, by kind and by dataset."""
        return self._told("measure", lambda: self._upkeep.usage())

    def bytes_at_rest(self) -> int:
        """Return the bytes that the budget limits: `Usage.bytes`, at the cost of one look-up."""
        return self._told("measure", lambda: self._index.read(self._ledger.at_rest))

    def room(self) -> int:
        """Return how many bytes fit into the budget and onto the disk before something must go; may be negative."""
        return self._told("measure", lambda: self._index.read(self._ledger.room))

    def entries(self, kind: str | None = None, dataset: str | None = None) -> Iterator[EntryInfo]:
        """Yield what the index knows of each entry, in no order."""
        self._flush()
        yield from self._told("list", lambda: self._upkeep.entries(kind, dataset))

    def remove(self, kind: str, key: Key) -> bool:
        """Remove one entry, as `remove_all` does; tell whether it was there."""
        return bool(self.remove_all([(kind, key)]))

    def remove_all(self, places: Iterable[tuple[str, Key]], *, spare_pinned: bool = False) -> list[tuple[str, Key]]:
        """Remove entries, and the objects that nothing else names; return the places of those that were there.

        Args:
            places: (kind, key) of each.
            spare_pinned: leave pinned ones where they are.

        Raises:
            InputError: one is pinned; nothing was removed.
            StoreError: they cannot be removed; some of them may have gone.
        """
        self._check_writable()
        return self._told("remove from", lambda: self._upkeep.remove(places, spare_pinned=spare_pinned))

    # Within

    @cached_property
    def _upkeep(self) -> Upkeep:
        from forebay.store.upkeep import Upkeep  # most who open a store only look things up

        return Upkeep(
            self._index, self._ledger, self._scanner, self._reader, self._holds, self._leases, self._gathering,
            self._site,
        )  # fmt: skip

    def _look(self, kind: str, key: Key) -> Entry | None:
        check_kind(kind)
        check_hex(key, "key")
        found = self._reader.entry(kind, key)
        if found is not None and self.writable:
            self._recency.note(kind, key)
        return found

    def _whole(self, kind: str, key: Key) -> Entry | None:
        found = self._look(kind, key)
        return found if found is not None and self.complete(found) else None

    def _flush(self) -> None:
        if self.writable:
            write_recency(self._index, self._recency.take())
            self.file_memo.flush()

    def _told(self, what: str, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except OSError as error:
            raise store_error(f"cannot {what} {self.home}", error) from error

    def _check_writable(self) -> None:
        if not self.writable:
            raise unwritable(self.home, told=self.settings.read_only)
