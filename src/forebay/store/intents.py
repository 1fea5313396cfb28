"""What the books say of work under way, and of what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forebay.config import CodecName
from forebay.store.gathering import ALLOTTED
from forebay.types import Digest, Entry, Key

SLAB_BYTES = 8 * 2**20
"""What is reserved at a time for that whose size nobody knows."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One file that is on its way, or that something on its way relies on (then `bytes` is 0).

    Attributes:
        number: within the session.
        bytes: reserved, at rest.
        digest: of the object; None: not known yet, or an entry.
        kind: of the entry; None: an object; `ALLOTTED`: a file that gathers.
        key: of the entry, or of the lease.
        linked: it is the second name of a file that is on the disk already.
    """

    number: int
    bytes: int
    digest: Digest | None = None
    kind: str | None = None
    key: Key | None = None
    linked: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """Intents that need room together, and those whose room they take over."""

    intents: Sequence[Intent]
    instead_of: Sequence[Intent]

    @property
    def need(self) -> int:
        """Bytes of the budget that they take in addition."""
        return sum(each.bytes for each in self.intents) - sum(each.bytes for each in self.instead_of)

    @property
    def on_disk(self) -> int:
        """Bytes of the disk that they take in addition; who gathers looks after these as they come."""
        return sum(each.bytes for each in self.intents if each.kind != ALLOTTED and not each.linked)

    @property
    def keys(self) -> set[Key]:
        """Of what gathers, and is accounted for by these."""
        return {each.key for each in (*self.intents, *self.instead_of) if each.kind == ALLOTTED and each.key}


@dataclass(frozen=True, slots=True)
class Published:
    """An entry that was published, and the bytes of its file."""

    entry: Entry
    file_bytes: int


@dataclass(frozen=True, slots=True)
class Relied:
    """An object that was there already.

    Attributes:
        kept: the codec it is kept under.
        durable: whether its name surely survives a power cut.
    """

    kept: CodecName
    durable: bool
