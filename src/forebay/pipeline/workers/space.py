"""Where a run's objects lie: in the store, and behind it in a scratch folder for what the store may or can not keep.

A run without a cache has a space without a store; a run whose store fails goes on in the scratch folder (a cache
never breaks the work). Readers need not know: `Space.read` looks in both. A space is safe to use after a fork, and
its `publish` in another thread than its `read`.
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from blake3 import blake3

from forebay.errors import BuildError, ObjectMissingError, StoreError
from forebay.io import temporary_folder
from forebay.pipeline.workers.keeping import Keeper
from forebay.types import Buffer, Digest, Entry, Key, ObjectRef

if TYPE_CHECKING:
    from forebay.io import Lease
    from forebay.store import Store


class Objects(Protocol):
    """Where objects are read from."""

    def read(self, digest: Digest, /) -> memoryview:
        """Return an object's decoded bytes."""
        ...


def reference(role: str, data: Buffer) -> ObjectRef:
    """Return what an object of these bytes is called."""
    return ObjectRef(role, Digest(blake3(data).hexdigest()), memoryview(data).nbytes)


@dataclass(slots=True)
class Parcel:
    """What one task has made: objects, and the entries that name them. Published together, or not at all.

    `kept` objects belong to an entry; `loose` ones only pass through this run (operators that may not be cached).
    `parted` are those that went ahead in a parcel of their own.
    """

    kept: dict[Digest, tuple[ObjectRef, Buffer]] = field(default_factory=dict)
    loose: dict[Digest, Buffer] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    parted: dict[Digest, Buffer] = field(default_factory=dict)

    @classmethod
    def of(cls, parcels: Sequence[Parcel]) -> Parcel:
        """Return several parcels as one."""
        whole = cls()
        for parcel in parcels:
            whole.kept |= parcel.kept
            whole.loose |= parcel.loose
            whole.entries += parcel.entries
        return whole

    def put(self, role: str, data: Buffer, *, keep: bool = True) -> ObjectRef:
        """Take one object."""
        data = memoryview(data).cast("B")
        ref = reference(role, data)
        if keep:
            self.kept[ref.digest] = (ref, data)
        else:
            self.loose[ref.digest] = data
        return ref

    def find(self, digest: Digest) -> Buffer | None:
        """Return an object that is not published yet."""
        if digest in self.kept:
            return self.kept[digest][1]
        return self.loose.get(digest) or self.parted.get(digest)

    def part(self) -> Parcel:
        """Take the entries and the objects that they name out, to be published ahead; `find` still finds those."""
        entries, self.entries = self.entries, []
        named = {ref.digest for entry in entries for ref in entry.objects}
        part = Parcel({digest: self.kept.pop(digest) for digest in named & self.kept.keys()}, entries=entries)
        self.parted |= {digest: data for digest, (_, data) in part.kept.items()}
        return part


class Scratch:
    """Objects of one run in a folder of files named by digest; not flushed, not remembered.

    Made by the parent before it forks; removed by it, and by nobody else, when its last user has gone.
    """

    def __init__(self) -> None:
        self.folder = temporary_folder("run")
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, True)
        self._remove.atexit = True

    def write(self, digest: Digest, data: Buffer) -> None:
        """Write one object, whole under its name; an object that is there stays.

        Raises:
            BuildError: it cannot be written.
        """
        path = self.folder / digest
        if path.exists():
            return
        part = self.folder / f"{digest}.{os.urandom(8).hex()}"
        try:
            part.write_bytes(data)
            part.rename(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            what = f"cannot write to the scratch folder {self.folder}: {error.strerror}"
            hint = "make room there, or set TMPDIR to a folder elsewhere"
            raise BuildError(what, subject=str(self.folder), hint=hint) from error

    def read(self, digest: Digest) -> memoryview | None:
        """Return a view of an object's pages, or None where it is not here."""
        from forebay.io import LocalFilesystem

        try:
            return LocalFilesystem().map(self.folder / digest)
        except FileNotFoundError:
            return None

    def remove(self) -> None:
        """Remove the folder now."""
        self._remove()


class Space:
    """The store, if there is one, and the scratch folder behind it.

    `broken` is why nothing is written to the store any more, or "".
    """

    def __init__(
        self, store: Store | None, scratch: Scratch, *, refresh: bool = False, given: Objects | None = None
    ) -> None:
        self.store = store
        self.given = None if given is store else given
        """Where the rows that the run was given lie, if not in the store."""
        self.scratch = scratch
        self.refresh = refresh
        self.broken = "" if store is None or store.writable else "the store is read-only"
        self.keeper = Keeper(store)
        self._fresh: set[tuple[str, Key]] = set()

    def read(self, digest: Digest, /) -> memoryview:
        """Return an object's bytes.

        Raises:
            ObjectMissingError: it is nowhere.
            ObjectDamagedError: its bytes did not match; it is in quarantine now.
        """
        found = self.scratch.read(digest)
        if found is not None:
            return found
        if self.given is not None:
            try:
                return self.given.read(digest)
            except ObjectMissingError:
                pass  # it was made by this run
        if self.store is None:
            raise ObjectMissingError(f"object {digest[:12]} has gone from the scratch folder", subject=digest)
        return self.store.read(digest)

    def get(self, kind: str, key: Key) -> Entry | None:
        """Return what is known under a key and wholly there; None is a miss. A store that fails is a miss, too."""
        if self.store is None or (self.refresh and (kind, key) not in self._fresh):
            return None
        try:
            entry = self.store.get(kind, key)
            if entry is None or not self.store.complete(entry):
                return None
            self.keeper.found(kind, key)
            return entry
        except StoreError as error:
            self.broken = self.broken or str(error)
            return None

    def made(self, kind: str, key: Key) -> None:
        """Note that this run has made an entry: with `refresh`, only such are found."""
        self._fresh.add((kind, key))

    def lease(self, key: Key) -> tuple[bool, Lease | None]:
        """Take a lease on some work: whether we may do it, and the lease; none where the store gives none."""
        if self.store is None or self.broken:
            return True, None
        try:
            lease = self.store.lease(key)
        except StoreError as error:
            self.broken = self.broken or str(error)
            return True, None
        return lease is not None, lease

    def publish(self, parcel: Parcel, *, heals: bool = False) -> Sequence[Entry]:
        """Make a parcel's objects and entries durable; where no store works, its objects go to the scratch folder.

        Returns the entries that the store has now.

        Args:
            parcel: what to publish.
            heals: whether the caller makes objects again that entries name and that have gone from the store.

        Raises:
            ObjectMissingError: there is such an object, and `heals`; otherwise the store counts as broken.
            BuildError: the scratch folder, too, cannot be written.
        """
        for digest, data in parcel.loose.items():
            self.scratch.write(digest, data)
        if self.store is not None and not self.broken:
            try:
                self._commit(self.store, parcel)
                return parcel.entries
            except StoreError as error:
                if heals and isinstance(error, ObjectMissingError):
                    raise
                self.broken = str(error)
        for digest, (_, data) in parcel.kept.items():
            self.scratch.write(digest, data)
        return ()

    def publish_all(self, parcels: Sequence[Parcel]) -> None:
        """Publish parcels together, as that costs less; one by one where that fails, say as there is room for few only.

        Raises:
            BuildError: see `publish`.
        """
        if len(parcels) > 1 and self.store is not None and not self.broken:
            whole = Parcel.of(parcels)
            for digest, data in whole.loose.items():
                self.scratch.write(digest, data)
            try:
                self._commit(self.store, whole)
                return
            except StoreError:
                pass  # whichever of them it is about tells again
        for parcel in parcels:
            self.publish(parcel)

    def _commit(self, store: Store, parcel: Parcel) -> None:
        if self.refresh:
            store.remove_all((entry.kind, entry.key) for entry in parcel.entries if self._differs(store, entry))
        self.keeper.keep((entry.kind, entry.key) for entry in parcel.entries)
        with store.batch() as batch:
            batch.put_all(list(parcel.kept.values()))
            for entry in parcel.entries:
                batch.add(entry)

    def _differs(self, store: Store, entry: Entry) -> bool:
        """Whether the store has another result under this key: `--refresh` replaces it."""
        known = store.get(entry.kind, entry.key)
        return known is not None and (known.objects != entry.objects or not store.complete(known))
