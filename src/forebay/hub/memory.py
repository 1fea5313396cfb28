"""What the store remembers of hubs: snapshots, what a revision meant when it was last asked for, what was not there.

Names: ``hub/hf/dataset/NS/NAME/REVISION`` points at a snapshot; its facts say when that was asked (seconds since the
epoch), and which one it means by now where that cannot be used without a hub yet (`forebay.hub.standing`). A commit
never changes, so its snapshot needs no question ever again. What was not there is an `absent` entry.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast
from urllib.parse import quote, unquote

from forebay.errors import NotFoundError, ObjectDamagedError, ObjectMissingError, StoreError
from forebay.hub.origin import Listing
from forebay.hub.reference import HubName, Reference, RepositoryType
from forebay.hub.snapshot import ABSENT, INFO, MANIFEST, SNAPSHOT, Snapshot, content_role, key_of, snapshot_key
from forebay.hub.standing import stands
from forebay.store import Store
from forebay.types import JSON, Entry, Key, ObjectRef, is_hex64

_ATTEMPTS = 3
_MOST_REMEMBERED = 512
_FILE_ROLE = content_role("")
_LATEST = "latest"
"""The fact of a name that says which snapshot it means by now, where it points at an earlier one."""
_MOMENT_SECONDS = 1.0
"""A fetch of many files must not read the snapshot's long entry for each of them."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a revision meant when it was last asked for.

    Attributes:
        snapshot: that.
        asked: when that was, in seconds since the epoch.
        before: what it meant earlier, if it has to be seen which of them can be used without a hub.
        kept: whether the store knows that, too.
    """

    snapshot: Snapshot
    asked: float
    before: Snapshot | None = None
    kept: bool = True


class Memory:
    """Snapshots and names in a store. Safe to use from several threads; the latest snapshots are kept in memory too."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._guard = threading.Lock()
        self._snapshots: OrderedDict[Key, Snapshot] = OrderedDict()
        self._names: OrderedDict[str, Remembered] = OrderedDict()
        self._unkept: OrderedDict[Key, Mapping[str, JSON]] = OrderedDict()
        self._contents: tuple[Key | None, float, Mapping[str, ObjectRef]] = (None, 0.0, {})

    def snapshot(self, key: Key) -> Snapshot | None:
        """Return the snapshot under a key, or None."""
        with self._guard:
            found = self._snapshots.get(key)
        if found is not None:
            return found
        entry = self._store.get(SNAPSHOT, key)
        if entry is None:
            return None
        try:
            data = self._store.read(entry.object(MANIFEST).digest)
            restricted, partial = bool(entry.meta.get("restricted")), bool(entry.meta.get("partial"))
            snapshot = Snapshot.from_manifest(data, restricted=restricted, partial=partial)
        except (KeyError, ObjectMissingError, ObjectDamagedError):
            return None
        self._keep(snapshot)
        return snapshot

    def info(self, snapshot: Snapshot) -> Mapping[str, JSON]:
        """Return the hub's own answer about a snapshot's repository; empty where there is none."""
        import json

        entry = self._store.get(SNAPSHOT, snapshot.key)
        if entry is None:
            with self._guard:
                return self._unkept.get(snapshot.key, {})
        try:
            data = self._store.read(entry.object(INFO).digest)
            return cast("dict[str, JSON]", json.loads(bytes(data)))
        except (KeyError, ObjectMissingError, ObjectDamagedError):
            return {}

    def content(self, snapshot: Snapshot, path: str) -> ObjectRef | None:
        """Return the content of a file if the snapshot's entry, as it was a moment ago, names it."""
        with self._guard:
            key, until, named = self._contents
        if key != snapshot.key or time.monotonic() > until:
            entry = self._store.get(SNAPSHOT, snapshot.key)
            named = {ref.role: ref for ref in entry.objects} if entry is not None else {}
            with self._guard:
                self._contents = (snapshot.key, time.monotonic() + _MOMENT_SECONDS, named)
        return named.get(content_role(path))

    def entry(self, snapshot: Snapshot) -> Entry | None:
        """Return a snapshot's entry, or None."""
        return self._store.get(SNAPSHOT, snapshot.key)

    def known(self, reference: Reference) -> Remembered | None:
        """Return what a reference meant when it was last asked for; None: never, or it is not there any more."""
        name = _name(reference)
        with self._guard:
            found = self._names.get(name)
        if found is not None:
            return found
        if reference.commit:
            snapshot = self.snapshot(snapshot_key(reference.hub, reference.type, reference.id, reference.commit))
            if snapshot is not None:
                return Remembered(snapshot, 0.0)
        named = self._store.names.read(name)
        if named is None:
            return None
        (_, key), facts = named
        asked, latest = facts.get("asked"), _latest(facts)
        before = self.snapshot(key)
        snapshot = before if latest is None else self.snapshot(latest)
        if snapshot is not None:
            when = float(asked) if isinstance(asked, (int, float)) else 0.0
            found = Remembered(snapshot, when, before if before is not snapshot else None)
        elif before is not None:  # what the hub said last is gone: it has to be asked
            found = Remembered(before, 0.0)
        else:
            return None
        self._note(name, found)
        return found

    def standing(self, reference: Reference) -> Snapshot | None:
        """Return what a reference stands for while no hub can be asked; None: it was never asked for."""
        known = self.known(reference)
        if known is None or known.before is None:
            return None if known is None else known.snapshot
        if not stands(self._store, known.snapshot, known.before):
            return known.before
        named = self._store.names.read(_name(reference))
        if self._store.writable and named is not None and _latest(named[1]) == known.snapshot.key:  # nobody was faster
            with suppress(StoreError):  # a store that cannot be told is asked again
                self._set(reference, Remembered(known.snapshot, known.asked))
        return known.snapshot

    def revisions(self, snapshot: Snapshot, *, offline: bool) -> dict[str, str]:
        """Return the branches and tags of a repository that were asked for -> the commits they mean."""
        found: dict[str, str] = {}
        for reference in map(reference_named, self._store.names.list(_folder(snapshot))):
            known = self.known(reference) if reference is not None and reference.commit is None else None
            if reference is not None and known is not None:
                meant = self.standing(reference) if offline else known.snapshot
                found[reference.asked_revision] = (meant or known.snapshot).commit
        return found

    def forget(self, reference: Reference) -> None:
        """Look at the store again when asked next: other processes may know better."""
        name = _name(reference)
        with self._guard:
            found = self._names.get(name)
            if found is not None and found.kept:
                del self._names[name]

    def save(self, reference: Reference, listing: Listing, now: float, *, moves: bool = False) -> Snapshot:
        """Keep what an origin said, under the reference and under the commit.

        A store that may not be written, or is full, keeps it in memory only.

        Args:
            reference: what was asked for.
            listing: the answer.
            now: when that was, in seconds since the epoch.
            moves: whether the reference stands for it at once, whatever the store has of it.

        Raises:
            StoreError: the store cannot keep it; in memory it is kept.
        """
        snapshot, name = listing.snapshot, _name(reference)
        self.forget(reference)  # others may have asked, or fetched, while the hub was asked
        before = None if moves or reference.hub == "local" else self.standing(reference)
        before = before if before is not None and before.key != snapshot.key else None
        found = Remembered(snapshot, now, before, kept=False)
        self._keep(snapshot)
        self._note(name, found)
        with self._guard:
            self._unkept[snapshot.key] = listing.info
            while len(self._unkept) > _MOST_REMEMBERED:
                self._unkept.popitem(last=False)
        if self._store.writable:
            self._save(listing)
            with self._guard:
                self._unkept.pop(snapshot.key, None)
            if before is not None and stands(self._store, snapshot, before):
                before = None
            self._set(reference, Remembered(snapshot, now, before))
            self._store.remove(ABSENT, absent_key(reference))
        return snapshot

    def gather(self, snapshot: Snapshot, contents: Mapping[str, ObjectRef]) -> Entry:
        """Let a snapshot's entry name the contents of its files, so that pins and bundles take them along.

        Args:
            snapshot: the snapshot.
            contents: path -> object, beside those that the entry names already.

        Raises:
            StoreError: the store cannot be written, or somebody removes what is fetched.
        """
        for _ in range(_ATTEMPTS):
            with suppress(ObjectMissingError):  # it went after we looked
                return self._gather(snapshot, contents)
        raise StoreError(f"{snapshot.dataset} was removed while it was fetched", hint="try again")

    def _gather(self, snapshot: Snapshot, contents: Mapping[str, ObjectRef]) -> Entry:
        entry = self._store.get(SNAPSHOT, snapshot.key)
        if entry is None or not self._store.has(entry.object(MANIFEST).digest):
            self._save(Listing(snapshot))
            entry = self._store.get(SNAPSHOT, snapshot.key)
        if entry is None:
            raise ObjectMissingError(f"the snapshot of {snapshot.dataset} vanished", subject=snapshot.key)
        named = {ref.role: ref for ref in entry.objects if not ref.role.startswith(_FILE_ROLE)}
        held = {
            ref.role: ref for ref in entry.objects if ref.role.startswith(_FILE_ROLE) and self._store.has(ref.digest)
        }
        held |= {f"{_FILE_ROLE}{path}": replace(ref, role=f"{_FILE_ROLE}{path}") for path, ref in contents.items()}
        whole = len(held) == len(snapshot.files)
        fetched: JSON = "all" if whole else [role.removeprefix(_FILE_ROLE) for role in sorted(held)]
        objects = (*named.values(), *(held[role] for role in sorted(held)))
        gathered = self._store.commit(replace(entry, objects=objects, meta={**entry.meta, "fetched": fetched}))
        with self._guard:
            self._contents = (None, 0.0, {})
        for name in self._store.names.list(_folder(snapshot)):
            reference = reference_named(name)
            if reference is not None and _latest(self._store.names.facts(name)) == snapshot.key:
                self.forget(reference)
                self.standing(reference)
        return gathered

    # What was not there

    def absence(self, reference: Reference) -> tuple[NotFoundError, float] | None:
        """Return the hub's refusal when it was last asked, and when that was."""
        entry = self._store.get(ABSENT, absent_key(reference))
        if entry is None:
            return None
        asked, what, hint = (entry.meta.get(name) for name in ("asked", "what", "hint"))
        error = NotFoundError(str(what), subject=str(reference), hint=str(hint))
        return error, float(asked) if isinstance(asked, (int, float)) else 0.0

    def note_absence(self, reference: Reference, error: NotFoundError, now: float) -> None:
        """Remember that something was not there."""
        if self._store.writable:
            meta: dict[str, JSON] = {"asked": now, "what": error.what, "hint": error.hint, "reference": str(reference)}
            self._store.commit(Entry(ABSENT, absent_key(reference), meta=meta))

    # Inside

    def _save(self, listing: Listing) -> None:
        import json

        snapshot = listing.snapshot
        there = self._store.get(SNAPSHOT, snapshot.key)
        same = there is not None and bool(there.meta.get("restricted")) == snapshot.restricted
        same = same and not (there is not None and there.meta.get("partial"))  # now more may be known
        if there is not None and same and self._store.has(there.object(MANIFEST).digest):
            return
        manifest: dict[str, bytes] = {MANIFEST: snapshot.manifest()}
        if listing.info:
            manifest[INFO] = json.dumps(dict(listing.info), sort_keys=True, separators=(",", ":")).encode()
        held: Sequence[ObjectRef] = there.objects if there is not None and self._store.complete(there) else ()
        parts: dict[str, JSON] = {
            "hub": snapshot.hub, "type": snapshot.type, "id": snapshot.id, "commit": snapshot.commit,
        }  # fmt: skip
        meta: dict[str, JSON] = {
            "files": len(snapshot.files),
            "bytes": snapshot.bytes,
            "fetched": there.meta.get("fetched", []) if there is not None and held else [],
            "restricted": snapshot.restricted,
        }
        if snapshot.partial:
            meta["partial"] = True
        entry = Entry(SNAPSHOT, snapshot.key, tuple(held), {**parts, **meta}, parts, dataset=snapshot.dataset)
        self._store.commit(entry, manifest)

    def _set(self, reference: Reference, known: Remembered) -> None:
        """Let a name say what it means: it points at what can be used without a hub."""
        facts: dict[str, JSON] = {"asked": known.asked, "reference": str(reference)}
        if known.before is not None:
            facts[_LATEST] = known.snapshot.key
        name = _name(reference)
        self._store.names.set(name, SNAPSHOT, (known.before or known.snapshot).key, facts)
        self._note(name, known)

    def _keep(self, snapshot: Snapshot) -> None:
        with self._guard:
            self._snapshots[snapshot.key] = snapshot
            self._snapshots.move_to_end(snapshot.key)
            while len(self._snapshots) > _MOST_REMEMBERED:
                self._snapshots.popitem(last=False)

    def _note(self, name: str, found: Remembered) -> None:
        with self._guard:
            self._names[name] = found
            self._names.move_to_end(name)
            while len(self._names) > _MOST_REMEMBERED:
                self._names.popitem(last=False)


def _latest(facts: Mapping[str, JSON]) -> Key | None:
    found = facts.get(_LATEST)
    return Key(found) if isinstance(found, str) and is_hex64(found) else None


def _name(reference: Reference) -> str:
    """Return the name of a reference; what is no hub's repository is called by a digest, for a URL may be long."""
    if reference.hub not in ("hf", "ms"):
        return f"hub/{reference.hub}/{key_of(str(reference.whole))}"
    parts = [*reference.id.split("/"), quote(reference.asked_revision, safe="")]
    safe = (part[:-5] + "%2Ejson" if part.endswith(".json") else part for part in parts)
    return "/".join(("hub", reference.hub, reference.type, *safe))


def _folder(snapshot: Snapshot) -> str:
    """Return what the names of a repository's revisions begin with."""
    return _name(snapshot.reference).rpartition("/")[0] + "/"


def reference_named(name: str) -> Reference | None:
    """Return the reference that a name of a hub's repository stands for; None: it is the name of something else."""
    parts = name.split("/")
    if len(parts) not in (5, 6) or parts[0] != "hub" or parts[1] not in ("hf", "ms"):
        return None
    *folders, revision = (part[:-7] + ".json" if part.endswith("%2Ejson") else part for part in parts[3:])
    hub, kind = cast("HubName", parts[1]), cast("RepositoryType", parts[2])
    reference = Reference(hub, kind, "/".join(folders), unquote(revision))
    return replace(reference, revision=None) if reference.revision == reference.default_revision else reference


def absent_key(reference: Reference) -> Key:
    """Return the key under which it is remembered that a hub has not what a reference means."""
    return key_of("forebay.absent/1", _name(reference))
