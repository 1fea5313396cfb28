"""Is all that can be loaded of a dataset prepared? What is not yet is made, and what cannot be made is remembered.

A configuration whose files the store does not hold cannot be loaded without a network, prepared or not: it is no gap.
Which these are is kept as facts of the name ``unprepared/SNAPSHOT``, and holds as long as the store has as many files
of the snapshot, and the library's version stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from forebay.errors import ForebayError
from forebay.events import Event, What
from forebay.hub.hub import Hub
from forebay.hub.preparation import prepare
from forebay.hub.prepared import (
    CONFIGURATIONS,
    Prepared,
    configurations,
    configurations_key,
    found_of,
    library_version,
)
from forebay.hub.snapshot import Snapshot
from forebay.types import JSON


@dataclass(frozen=True, slots=True)
class Cover:
    """What there is of a dataset.

    Attributes:
        prepared: its configurations that are prepared.
        names: all that it has.
        absent: those whose files the store does not hold.
    """

    prepared: tuple[Prepared, ...]
    names: frozenset[str]
    absent: frozenset[str]

    @property
    def held(self) -> bool:
        """Whether all is prepared whose files are there."""
        return bool(self.prepared) and {one.configuration for one in self.prepared} | self.absent >= self.names

    @property
    def whole(self) -> bool:
        """Whether all is prepared."""
        return self.held and not self.absent


def cover(hub: Hub, snapshot: Snapshot) -> Cover | None:
    """Return what is prepared, as the store knows it; None: nobody has looked yet."""
    store = hub.store
    known = configurations(store, snapshot)
    if known is None:
        return None
    prepared = tuple(found_of(store, snapshot))
    absent = frozenset(known.names) - {one.configuration for one in prepared}
    if absent and store.names.facts(_name(snapshot)).get("of") == _state(hub, snapshot):
        told = cast("list[str]", store.names.facts(_name(snapshot)).get("absent", []))
        return Cover(prepared, frozenset(known.names), absent & set(told))
    return Cover(prepared, frozenset(known.names), frozenset())


def make_cover(hub: Hub, snapshot: Snapshot, *, offline: bool = True) -> Cover | None:
    """Prepare what is not prepared, and return what there is then.

    Args:
        hub: the store, and where files are fetched from that it does not hold.
        snapshot: a dataset.
        offline: fetch none.

    Raises:
        ForebayError: nothing can be prepared: see `prepare`.
    """
    before = cover(hub, snapshot)
    if before is not None and before.held:
        return before
    broken: list[str] = []

    def note(event: Event) -> None:
        if event.what is What.WARNING:
            broken.append(event.message)

    done = {one.configuration for one in before.prepared} if before is not None else set[str]()
    missing = sorted(before.names - done) if before is not None else None
    try:
        prepare(hub, snapshot, missing, offline=offline, partial=True, hook=note)
    except ForebayError:
        if not done:
            raise
    after = cover(hub, snapshot)
    if after is None or broken or after.held:
        return after
    absent = after.names - {one.configuration for one in after.prepared}
    facts: dict[str, JSON] = {"of": _state(hub, snapshot), "absent": cast("JSON", sorted(absent))}
    hub.store.names.set(_name(snapshot), CONFIGURATIONS, configurations_key(snapshot), facts)
    return cover(hub, snapshot)


def _name(snapshot: Snapshot) -> str:
    return f"unprepared/{configurations_key(snapshot)}"


def _state(hub: Hub, snapshot: Snapshot) -> JSON:
    """Return what the absence of files holds for: what is held, counted, and by which library it was looked at."""
    held = sum(hub.file(snapshot, file.path) is not None for file in snapshot.files)
    return [held, library_version()]
