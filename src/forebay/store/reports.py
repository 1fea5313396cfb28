"""What a store tells about itself: frozen records, bytes at rest unless a name says otherwise.

Made of nothing, they tell of a store that is not there yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from forebay.types import JSON, Digest, Key


class EntryInfo(NamedTuple):
    """One row of the index; a tuple, because there may be many.

    Attributes:
        kind: family of work.
        key: name of the work.
        dataset: what it belongs to; "" where nobody said.
        bytes: at rest, the entry's file and all its objects.
        created: seconds since the epoch.
        used: seconds since the epoch when it was last looked up, as far as written down yet.
        pinned: whether it is kept for ever.
        cost_seconds: wall seconds it took to make.
        recoverable: whether eviction may have it.
    """

    kind: str
    key: Key
    dataset: str
    bytes: int
    created: float
    used: float
    pinned: bool
    cost_seconds: float
    recoverable: bool


@dataclass(frozen=True, slots=True)
class Share:
    """What one kind or dataset takes: entries, objects, bytes at rest. An object of two shares counts in both."""

    entries: int
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What is in a store.

    Attributes:
        bytes: at rest, of objects, entries, damaged and partial files, and what is reserved; the budget limits it.
        objects: number of object files.
        object_bytes: their bytes.
        entries: number of entries.
        entry_bytes: bytes of their own files.
        reserved_bytes: spoken for by batches and downloads under way.
        damaged: number of files in quarantine.
        damaged_bytes: their bytes.
        partials: number of files that have come in part.
        partial_bytes: their bytes.
        max_bytes: the budget; None: none but the disk.
        free_bytes: free on the disk.
        kinds: share of each kind.
        datasets: share of each dataset.
    """

    bytes: int = 0
    objects: int = 0
    object_bytes: int = 0
    entries: int = 0
    entry_bytes: int = 0
    reserved_bytes: int = 0
    damaged: int = 0
    damaged_bytes: int = 0
    partials: int = 0
    partial_bytes: int = 0
    max_bytes: int | None = None
    free_bytes: int = 0
    kinds: Mapping[str, Share] = field(default_factory=dict[str, Share])
    datasets: Mapping[str, Share] = field(default_factory=dict[str, Share])

    def to_json(self) -> dict[str, JSON]:
        """Return this as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class GcReport:
    """What was (or, with `dry_run`, would be) removed.

    Attributes:
        entries: number of entries.
        objects: number of object files, `loose` of them named by no entry before.
        loose: see `objects`.
        damaged: number of files from quarantine.
        temporaries: number of files that the dead had left.
        partials: number of partial downloads.
        bytes: at rest, of all these together.
        left_bytes: what is left.
        spared: number of entries that a pin, a reader or having no origin kept.
        removed: the entries, as (kind, key).
        dry_run: nothing was done.
    """

    entries: int = 0
    objects: int = 0
    loose: int = 0
    damaged: int = 0
    temporaries: int = 0
    partials: int = 0
    bytes: int = 0
    left_bytes: int = 0
    spared: int = 0
    removed: tuple[tuple[str, Key], ...] = ()
    dry_run: bool = False

    def to_json(self) -> dict[str, JSON]:
        """Return this as a JSON object."""
        return {**asdict(self), "removed": [{"kind": kind, "key": key} for kind, key in self.removed]}


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: an object or an entry, and what is the matter."""

    kind: str
    """The entry's kind; "" for an object."""
    name: Digest | Key
    why: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What verifying found.

    Attributes:
        objects: number of object files checked.
        entries: number of entries checked.
        bytes: decoded bytes that were hashed.
        seconds: wall time.
        damaged: what was set aside.
        missing: objects that entries name and that are not there: those entries are misses.
    """

    objects: int = 0
    entries: int = 0
    bytes: int = 0
    seconds: float = 0.0
    damaged: tuple[Damage, ...] = ()
    missing: tuple[Damage, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was damaged and nothing is missing."""
        return not self.damaged and not self.missing

    def to_json(self) -> dict[str, JSON]:
        """Return this as a JSON object."""
        return {**asdict(self), "ok": self.ok}


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """What the files say."""

    entries: int = 0
    objects: int = 0
    bytes: int = 0
    damaged: int = 0
    """Files in quarantine."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, JSON]:
        """Return this as a JSON object."""
        return asdict(self)
