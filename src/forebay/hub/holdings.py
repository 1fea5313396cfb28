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
from forebay.hub.standing import Contents
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
        only_asked: whether a hub said that it is there, and no more: nothing of it was fetched, or too little, so that
            an earlier one stands in for it.
    """

    snapshot: Snapshot
    entry: Entry
    revisions: set[str] = field(default_factory=set[str])
    ids: set[str] = field(default_factory=set[str])
    asked: float = 0.0
    paths: frozenset[str] | None = None
    configurations: frozenset[str] = frozenset()
    only_asked: bool = False

    @property
    def is_default(self) -> bool:
        """Whether it is what the default branch means."""
        return self.snapshot.reference.default_revision in self.revisions

    def content(self, store: Store, file: SnapshotFile) -> ObjectRef | None:
        """Return the content of one of its files; None: the store does not hold it."""
        return Contents(store, self.entry).get(file)

    def contents(self, store: Store) -> Iterator[tuple[SnapshotFile, ObjectRef | None]]:
        """Yield each of its files that were chosen, and the content where the store holds it."""
        found = Contents(store, self.entry)
        for file in (file for file in self.snapshot.files if self.paths is None or file.path in self.paths):
            yield file, found.get(file)


def holdings(store: Store) -> list[Held]:
    """Return all snapshots of hubs that the store has; of one repository the latest asked for last."""
    memory = Memory(store)
    found: dict[Key, Held] = {}
    named: set[Key] = set()
    latest: set[Key] = set()

    def held(key: Key) -> Held | None:
        if key not in found:
            snapshot, entry = memory.snapshot(key), store.get(SNAPSHOT, key)
            if snapshot is None or entry is None or snapshot.hub not in ("hf", "ms"):
                return None
            found[key] = Held(snapshot, entry, ids={snapshot.id})
        return found[key]

    for name in store.names.list("hub/"):
        meant = reference_named(name)
        snapshot = memory.standing(meant) if meant is not None else None
        one = held(snapshot.key) if snapshot is not None else None
        if one is None or meant is None:
            continue
        named.add(one.snapshot.key)
        known = memory.known(meant)
        if known is not None:
            latest.add(known.snapshot.key)
        asked = store.names.facts(name).get("asked")  # a bundle brings names without facts
        one.ids.add(meant.id)
        if meant.commit is None:
            one.revisions.add(meant.asked_revision)
        if isinstance(asked, (int, float)):
            one.asked = max(one.asked, float(asked))
    for row in store.entries(SNAPSHOT):
        held(row.key)
    for key, one in found.items():
        one.only_asked = key not in named and (key in latest or not one.entry.meta.get("fetched", True))
    return sorted(
        found.values(), key=lambda one: (one.snapshot.dataset, one.is_default, one.asked, one.snapshot.commit)
    )


def chosen(store: Store, references: Iterable[str | Reference]) -> list[Held]:
    """Return the snapshots that references mean, all of their repositories where they name no revision; none: all.

    One that was only asked for is meant only where its commit is named.

    Raises:
        InputError: one is no reference to a hub's repository.
        NotFoundError: the store has nothing of one.
    """
    everything = holdings(store)
    wanted = [parse(reference) for reference in references]
    if not wanted:
        return [one for one in everything if not one.only_asked]
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
    if revision is None:
        return not one.only_asked
    return revision in one.revisions or (len(revision) >= 7 and snapshot.commit.startswith(revision))
