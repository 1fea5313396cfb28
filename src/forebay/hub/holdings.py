"""What the store has of hubs, without asking anybody: snapshots, what they are called, and their files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from forebay.errors import InputError, NotFoundError
from forebay.hub.cards import README, configured
from forebay.hub.memory import Memory, reference_named
from forebay.hub.prepared import CONFIGURATIONS, INFO, PREPARED
from forebay.hub.reference import Reference, parse
from forebay.hub.snapshot import ABSENT, FILE, SNAPSHOT, Snapshot, SnapshotFile
from forebay.store import Store
from forebay.types import Entry, Key, ObjectRef


@dataclass(slots=True)
class Held:
    """A snapshot of the store.

    Attributes:
        snapshot: the snapshot.
        entry: its entry.
        revisions: branches and tags that meant it when they were last asked for.
        ids: its id, and others by which it was asked for (before it was renamed, say).
        asked: when it was last asked for, in seconds since the epoch; 0: not known.
        paths: of the files that were chosen; None: all.
        configurations: those that were chosen; none: all.
    """

    snapshot: Snapshot
    entry: Entry
    revisions: set[str] = field(default_factory=set[str])
    ids: set[str] = field(default_factory=set[str])
    asked: float = 0.0
    paths: frozenset[str] | None = None
    configurations: frozenset[str] = frozenset()

    @property
    def is_default(self) -> bool:
        """Whether it is what the default branch means."""
        return self.snapshot.reference.default_revision in self.revisions

    def content(self, store: Store, file: SnapshotFile) -> ObjectRef | None:
        """Return the content of one of its files; None: the store does not hold it."""
        return content(store, self.entry, file)

    def contents(self, store: Store) -> Iterator[tuple[SnapshotFile, ObjectRef | None]]:
        """Yield each of its files that were chosen, and the content where the store holds it."""
        named = {ref.role: ref for ref in self.entry.objects}
        for file in (file for file in self.snapshot.files if self.paths is None or file.path in self.paths):
            ref = named.get(f"file:{file.path}")
            yield file, ref if ref is not None and store.has(ref.digest) else content(store, None, file)


def content(store: Store, snapshot: Entry | None, file: SnapshotFile) -> ObjectRef | None:
    """Return the content of a file; None: the store does not hold it.

    Args:
        store: where to look.
        snapshot: entry of the snapshot that the file is of, whose objects are looked at first.
        file: which one.
    """
    role = f"file:{file.path}"
    named = [ref for ref in snapshot.objects if ref.role == role] if snapshot is not None else []
    entry = store.get(FILE, file.key)
    for ref in (*named, *(entry.objects if entry is not None else ())):
        if store.has(ref.digest):
            return ref
    return None


def holdings(store: Store) -> list[Held]:
    """Return all snapshots of hubs that the store has; of one repository the latest asked for last."""
    memory = Memory(store)
    found: dict[Key, Held] = {}

    def held(key: Key) -> Held | None:
        if key not in found:
            snapshot, entry = memory.snapshot(key), store.get(SNAPSHOT, key)
            if snapshot is None or entry is None or snapshot.hub not in ("hf", "ms"):
                return None
            found[key] = Held(snapshot, entry, ids={snapshot.id})
        return found[key]

    for name in store.names.list("hub/"):
        place, meant = store.names.get(name), reference_named(name)
        one = held(place[1]) if place is not None and place[0] == SNAPSHOT else None
        if one is None or meant is None:
            continue
        asked = store.names.facts(name).get("asked")  # a bundle brings names without facts
        one.ids.add(meant.id)
        if meant.commit is None:
            one.revisions.add(meant.asked_revision)
        if isinstance(asked, (int, float)):
            one.asked = max(one.asked, float(asked))
    for row in store.entries(SNAPSHOT):
        held(row.key)
    return sorted(
        found.values(), key=lambda one: (one.snapshot.dataset, one.is_default, one.asked, one.snapshot.commit)
    )


def chosen(store: Store, references: Iterable[str | Reference]) -> list[Held]:
    """Return the snapshots that references mean, all of their repositories where they name no revision; none: all.

    Raises:
        InputError: one is no reference to a hub's repository.
        NotFoundError: the store has nothing of one.
    """
    everything = holdings(store)
    wanted = [parse(reference) for reference in references]
    if not wanted:
        return everything
    keys: set[Key] = set()
    for reference in wanted:
        if reference.hub not in ("hf", "ms"):
            hint = "write hf://datasets/NAMESPACE/NAME or ms://…"
            raise InputError(f"{reference} is not a repository of a hub", subject=str(reference), hint=hint)
        found = [one for one in everything if _is_meant(one, reference)]
        if not found:
            what = f"{reference.whole} is not in the store in {store.home}"
            raise NotFoundError(what, subject=str(reference), hint=f"`forebay fetch {reference.whole}` first")
        keys.update(one.snapshot.key for one in found)
    return [one for one in everything if one.snapshot.key in keys]


def narrowed(store: Store, one: Held, references: Sequence[Reference]) -> Held:
    """Note which of its files references choose, by a path or a configuration.

    Raises:
        InputError: a configuration of what is no dataset.
        NotFoundError: there is no such file or configuration, or the README that tells them is not in the store.
    """
    meant = [reference for reference in references if _is_meant(one, reference)]
    if not meant or any(not reference.path and not reference.config for reference in meant):
        return one
    paths: set[str] = set()
    for reference in meant:
        chosen = {file.path for file in one.snapshot.chosen(within=reference.path)}
        of = configured(one.snapshot, reference, lambda: _card(store, one)) if reference.config else None
        paths |= chosen if of is None else chosen & of
    names = frozenset(reference.config for reference in meant)
    return replace(one, paths=frozenset(paths), configurations=names - {""})


def only_of(store: Store, key: Key) -> list[tuple[str, Key]]:
    """Return a snapshot's place, and those of the entries that no other snapshot of its repository needs.

    These are its files, what was prepared of it, and, if there is no other, what the hub said of the repository.
    """
    memory = Memory(store)
    snapshot = memory.snapshot(key)
    found = [(SNAPSHOT, key)]
    if snapshot is None:
        return found
    rows = sorted(store.entries(dataset=snapshot.dataset), key=lambda row: (row.kind, row.key))
    others = [row.key for row in rows if row.kind == SNAPSHOT and row.key != key]
    listed = {file.key for other in others if (seen := memory.snapshot(other)) for file in seen.files}
    named = {ref.digest for other in others if (entry := store.get(SNAPSHOT, other)) for ref in entry.objects}
    for row in rows:
        entry = store.get(row.kind, row.key)
        if entry is None:
            continue
        if row.kind == FILE:
            needed = row.key in listed or any(ref.digest in named for ref in entry.objects)
        elif row.kind in (PREPARED, CONFIGURATIONS):
            needed = key not in entry.inputs
        else:
            needed = row.kind not in (INFO, ABSENT) or bool(others)
        if not needed:
            found.append((row.kind, row.key))
    return found


def _card(store: Store, one: Held) -> memoryview:
    ref = one.content(store, one.snapshot.file(README))
    if ref is None:
        what = f"{README} of {one.snapshot.dataset}, which tells its configurations, is not in the store"
        raise NotFoundError(what, subject=README, hint=f"`forebay fetch {one.snapshot.reference.whole}/{README}`")
    return store.read(ref.digest)


def _is_meant(one: Held, reference: Reference) -> bool:
    snapshot, revision = one.snapshot, reference.revision
    if (snapshot.hub, snapshot.type) != (reference.hub, reference.type) or reference.id not in one.ids:
        return False
    return (
        revision is None or revision in one.revisions or (len(revision) >= 7 and snapshot.commit.startswith(revision))
    )
