"""From what tasks need to entries of the store: what a bundle of them holds, and what of it the store lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from forebay.hub import Hub, Reference
from forebay.hub.cards import file_texts
from forebay.hub.lock import LockedRepository, locked
from forebay.hub.memory import absent_key
from forebay.hub.prepared import CONFIGURATIONS, PREPARED, configurations_key, find
from forebay.hub.snapshot import ABSENT, SNAPSHOT, Snapshot
from forebay.hub.standing import Contents
from forebay.integrations.outlook import Outlook, Parcel, Unfetched
from forebay.integrations.remembering import TASKS
from forebay.integrations.tasks import BUILDERS
from forebay.store import Store
from forebay.types import Key

_SHOWN_FILES = 3


@dataclass(slots=True)
class Packing:
    """What goes into a bundle.

    Attributes:
        roots: (kind, key) of entries.
        files: of these snapshots no more than the files at these paths.
        locked: the same as a lock file says it.
    """

    roots: list[tuple[str, Key]] = field(default_factory=list[tuple[str, Key]])
    files: dict[Key, set[str]] = field(default_factory=dict[Key, set[str]])
    locked: list[LockedRepository] = field(default_factory=list[LockedRepository])


def note_lacking(store: Store, outlook: Outlook) -> None:
    """Note what of the files that tasks want the store does not hold: a gap for each snapshot and set of tasks."""
    for parcel in outlook.parcels.values():
        by_tasks: dict[tuple[str, ...], list[str]] = {}
        for path in _lacking(store, parcel):
            tasks = tuple(task for task, files in parcel.tasks.items() if path in files)
            by_tasks.setdefault(tasks, []).append(path)
        for tasks, paths in by_tasks.items():
            more = f" and {len(paths) - _SHOWN_FILES} more files" if len(paths) > _SHOWN_FILES else ""
            what = f"{', '.join(paths[:_SHOWN_FILES])}{more} of {_called(parcel)}"
            outlook.miss(Unfetched(what, f"{'are' if len(paths) > 1 else 'is'} not in the store"), tasks)


def unfetched(outlook: Outlook) -> dict[Unfetched, list[str]]:
    """Return what the store lacks and a hub may have, and for whom."""
    return {gap: tasks for gap, tasks in outlook.gaps.items() if isinstance(gap, Unfetched)}


def packing(hub: Hub, outlooks: Iterable[Outlook], remembered: Collection[Key] = ()) -> Packing:
    """Return what a bundle holds of what the store has of tasks; nobody is asked.

    Args:
        hub: whose store it is.
        outlooks: what tasks need.
        remembered: keys of what was read from harnesses, taken along where the store has it.
    """
    store, found = hub.store, Packing()
    locked_by_name: dict[str, LockedRepository] = {}
    roots: dict[tuple[str, Key], None] = {}
    for outlook in outlooks:
        for parcel in outlook.parcels.values():
            if store.get(SNAPSHOT, parcel.snapshot.key) is None:
                continue
            roots[SNAPSHOT, parcel.snapshot.key] = None
            found.files.setdefault(parcel.snapshot.key, set()).update(parcel.files)
        beside = [(ABSENT, absent_key(reference)) for reference in outlook.absent]
        beside += _prepared(store, outlook)
        roots.update(dict.fromkeys(place for place in beside if store.get(*place) is not None))
    for outlook in outlooks:
        for parcel in outlook.parcels.values():
            held = found.files.get(parcel.snapshot.key, set[str]()) - set(_lacking(store, parcel))
            for reference in parcel.references if held else ():
                locked_by_name[str(reference)] = locked(store, reference, parcel.snapshot, held)
    places = [(TASKS, key) for key in remembered]
    roots.update(dict.fromkeys(place for place in places if store.get(*place) is not None))
    found.roots, found.locked = list(roots), list(locked_by_name.values())
    return found


def wanted_configurations(outlook: Outlook) -> Mapping[Key, tuple[Snapshot, tuple[str, ...]]]:
    """Return the configurations that tasks load by name, "" for the default one, by the key of their snapshot."""
    by_name = {name: parcel for parcel in outlook.parcels.values() for name in parcel.references}
    found: dict[Key, tuple[Snapshot, tuple[str, ...]]] = {}
    for load in outlook.closure.loads:
        revision = load.options.get("revision")
        name = Reference(load.hub, "dataset", load.path, revision if isinstance(revision, str) else None)
        parcel = by_name.get(name)
        if load.path in BUILDERS or file_texts(load.options.get("data_files")) or parcel is None:
            continue
        _, names = found.get(parcel.snapshot.key, (None, ()))
        found[parcel.snapshot.key] = parcel.snapshot, tuple(dict.fromkeys((*names, load.name or "")))
    return found


def _prepared(store: Store, outlook: Outlook) -> Iterator[tuple[str, Key]]:
    """Yield the entries of configurations that are prepared, and of which ones there are."""
    for snapshot, names in wanted_configurations(outlook).values():
        yield CONFIGURATIONS, configurations_key(snapshot)
        for name in names:
            prepared = find(store, snapshot, name)
            if prepared is not None:
                yield PREPARED, prepared.entry.key


def _lacking(store: Store, parcel: Parcel) -> list[str]:
    held = Contents(store, store.get(SNAPSHOT, parcel.snapshot.key))
    return [path for path in parcel.files if held.get(parcel.snapshot.file(path)) is None]


def _called(parcel: Parcel) -> str:
    return str(next(iter(parcel.references), parcel.snapshot.reference))
