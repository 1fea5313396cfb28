"""Installing bundles: everything is looked at before anything counts.

1. MANIFEST, signature, whom we trust, what the store must have already, room. Nothing is written.
2. Entries are read and looked at, and kept in memory.
3. Objects, in groups: each is compared with its two names, published, and relied on by a batch that stays open to the
   end, so that eviction spares it. The store has it now, but nothing names it: if we stop here, the next attempt finds
   it, or `gc` collects it.
4. The end of the archive is looked at. Then the entries are published, all at once, and at last the names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from forebay import text
from forebay.bundle import signing
from forebay.bundle.checking import Sizes, named, read_entry
from forebay.bundle.manifest import LOCK, Manifest, PackedEntry, PackedFile, PackedName
from forebay.bundle.source import Source, open_source
from forebay.bundle.taking import Taker
from forebay.errors import BundleError, InputError, StoreError, StoreFullError
from forebay.events import Hook, ignore
from forebay.store import entry as entry_files
from forebay.types import JSON, Entry, Key

if TYPE_CHECKING:
    from forebay.store import Store


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """How a bundle is installed.

    Attributes:
        trusted: public keys of which one must have signed it; None: `Settings.trusted_keys`. None of them: no matter.
        untrusted: install it whoever signed it.
        link: take objects over by a second name where they are files of their own on the store's file system. They
            are then one file: who changes the unpacked bundle damages the store, which finds out when it reads.
        keep_names: a name that is there already stays as it is.
    """

    trusted: tuple[str, ...] | None = None
    untrusted: bool = False
    link: bool = True
    keep_names: bool = False


@dataclass(frozen=True, slots=True)
class InstallReport:
    """What was installed.

    Attributes:
        id: BLAKE3 of the MANIFEST.
        signer: public key in hex, or None.
        entries: number of those that are new.
        kept: number of those that the store had, and keeps as they are.
        differing: (kind, key) of those which it had with another result, which it keeps.
        objects: number of those that are new.
        linked: of these, those that were taken over by a second name.
        present: number of those that were there.
        bytes: decoded, of the new objects.
        names: those that were set.
        seconds: it took.
        lock: content of the ``forebay.lock`` that it carries, or None; nobody has looked at it.
    """

    id: str
    signer: str | None
    entries: int
    kept: int
    differing: tuple[tuple[str, Key], ...]
    objects: int
    linked: int
    present: int
    bytes: int
    names: tuple[str, ...]
    seconds: float
    lock: bytes | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return this as a JSON object."""
        return {
            "id": self.id,
            "signer": self.signer,
            "entries": self.entries,
            "kept": self.kept,
            "differing": [list(pair) for pair in self.differing],
            "objects": self.objects,
            "linked": self.linked,
            "present": self.present,
            "bytes": self.bytes,
            "names": list(self.names),
            "seconds": self.seconds,
        }


def install(store: Store, path: Path, options: InstallOptions | None = None, hook: Hook = ignore) -> InstallReport:
    """Install a bundle. When this returns all of it is durable; when it raises, no entry and no name came of it.

    Args:
        store: that takes it.
        path: as for `open_source`.
        options: how.
        hook: told of progress.

    Raises:
        NotFoundError: it is not there.
        BundleError: it is damaged, hostile, not trusted, or a delta to what is not in the store.
        StoreError: the store cannot take it.
    """
    with open_source(path) as source:
        return install_from(store, source, options, hook)


def install_from(
    store: Store, source: Source, options: InstallOptions | None = None, hook: Hook = ignore
) -> InstallReport:
    """Install a bundle that is open; see `install`."""
    options = options or InstallOptions()
    if not options.untrusted:
        trusted = store.settings.trusted_keys if options.trusted is None else options.trusted
        signing.check_trust(source.manifest.signer, trusted)
    return _Installer(store, source, options, hook).run()


class _Installer:
    """Installs one bundle."""

    def __init__(self, store: Store, source: Source, options: InstallOptions, hook: Hook) -> None:
        self._store = store
        self._source = source
        self._options = options
        self._hook = hook
        self._lock: bytes | None = None

    def run(self) -> InstallReport:
        """Do it."""
        began = perf_counter()
        manifest = self._source.manifest
        if not manifest.entries and not manifest.needs.entries and manifest.objects:
            raise BundleError("it holds objects only", hint="`forebay bundle repair --from` takes them")
        self._check_names(manifest.names)
        self._check_needs(manifest)
        self._check_room(manifest)
        self._source.check_end()
        entries = self._read_entries()
        fresh, kept, differing = self._sorted_out(entries)
        taker = Taker(self._store, self._source, link=self._options.link, hook=self._hook)
        with self._store.batch() as batch:
            taker.take(batch)
            self._source.check_end()
            for entry in fresh:
                batch.add(entry)
        set_ = self._set_names(manifest.names, fresh)
        return InstallReport(
            id=self._source.id,
            signer=manifest.signer,
            entries=len(fresh),
            kept=kept,
            differing=tuple(differing),
            objects=taker.new,
            linked=taker.linked,
            present=len(manifest.objects) - taker.new,
            bytes=taker.new_bytes,
            names=tuple(set_),
            seconds=perf_counter() - began,
            lock=self._lock,
        )

    # Before anything is written

    def _check_names(self, names: Iterable[PackedName]) -> None:
        for each in names:
            try:
                self._store.names.get(each.name)
            except InputError as error:
                raise BundleError(f"its name {each.name!r} is none that a store has") from error

    def _check_needs(self, manifest: Manifest) -> None:
        lacking = [digest for digest, _ in manifest.needs.objects if not self._store.has(digest)]
        for kind, key, _ in manifest.needs.entries:
            if self._store.get(kind, key) is None:
                hint = "install that one first"
                what = f"it is a delta to {(manifest.since or '')[:12]}, whose entry {kind} {key[:12]} is not here"
                raise BundleError(what, subject=key, hint=hint)
        if lacking:
            what = f"it is a delta to {(manifest.since or '')[:12]}, of which {len(lacking)} objects are not here"
            raise BundleError(f"{what}: {named(lacking)}", subject=lacking[0], hint="install that one first")

    def _check_room(self, manifest: Manifest) -> None:
        """Refuse what cannot fit even if all that is in the store went; the batches see to the rest."""
        need = sum(min(each.size, each.packed) for each in manifest.objects)
        usage = self._store.usage()
        most = usage.free_bytes + usage.bytes - self._store.settings.min_free_bytes
        room = most if usage.max_bytes is None else min(most, usage.max_bytes)
        if need > room:
            need = sum(min(each.size, each.packed) for each in manifest.objects if not self._store.has(each.digest))
        if need > room:
            what = f"it needs {text.size(need)}, and {self._store.home} can hold {text.size(max(room, 0))}"
            raise StoreFullError(what, subject=self._store.home, hint="raise max_bytes or free the disk")

    def _read_entries(self) -> list[Entry]:
        sizes = Sizes(self._source.manifest)
        found: list[Entry] = []
        for member in self._source.members:
            if isinstance(member.what, PackedFile):
                content = self._source.content(member)
                self._lock = bytes(content) if member.what.name == LOCK else self._lock
            elif isinstance(member.what, PackedEntry):
                found.append(read_entry(self._source, member, sizes))
        sizes.check_all_named()
        return found

    def _sorted_out(self, entries: Sequence[Entry]) -> tuple[list[Entry], int, list[tuple[str, Key]]]:
        """Return the entries to publish, how many the store has so, and those that it has with another result.

        What the store has is trusted more than a bundle; but an entry that grew (a snapshot of which more files were
        fetched) is taken.
        """
        fresh: list[Entry] = []
        differing: list[tuple[str, Key]] = []
        kept = 0
        for entry in entries:
            there = self._store.get(entry.kind, entry.key)
            if there is None or not self._store.complete(there):
                fresh.append(entry)
            elif entry_files.same_result(replace(there, recoverable=False), entry):
                kept += 1
            elif set(there.objects) < set(entry.objects):
                fresh.append(entry)
            else:
                kept += 1
                if not set(there.objects) >= set(entry.objects):
                    differing.append((entry.kind, entry.key))
        return fresh, kept, differing

    # Names

    def _set_names(self, names: Iterable[PackedName], fresh: Sequence[Entry]) -> list[str]:
        """Set the names; if one cannot be set, take all back, the entries too."""
        before: list[tuple[str, tuple[str, Key] | None]] = []
        done: list[str] = []
        try:
            for each in names:
                there = self._store.names.get(each.name)
                if there == (each.kind, each.key) or (there is not None and self._options.keep_names):
                    continue
                before.append((each.name, there))
                self._store.names.set(each.name, each.kind, each.key)
                done.append(each.name)
        except BaseException:
            for name, there in before:
                _quietly(lambda n=name, t=there: self._store.names.set(n, *t) if t else self._store.names.remove(n))
            for entry in fresh:
                _quietly(lambda e=entry: self._store.remove(e.kind, e.key))
            raise
        return done


def _quietly(work: Callable[[], object]) -> None:
    try:
        work()
    except (StoreError, InputError, OSError):
        pass  # the error that brought us here is the one to tell
