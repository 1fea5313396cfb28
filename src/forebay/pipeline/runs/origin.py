"""What a run starts from: the contract, and one file known by its content."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from forebay.table.proving import Content
from forebay.table.resolving import SourceFile
from forebay.types import JSON, Digest, Key

if TYPE_CHECKING:
    from forebay.pipeline.runs.flow import Flow, Moving
    from forebay.table.schema import Schema


class Origin(Protocol):
    """Something that shards come from."""

    entries: list[tuple[str, Key]]
    """(kind, key) of the entries that hold them, once `shards` was called."""
    bad_rows: int
    """Rows set aside, once `shards` was called."""

    def identity(self) -> list[JSON]:
        """Return what it is, by content: part of the run's key."""
        ...

    def shards(self, flow: Flow) -> tuple[list[Moving], Schema]:
        """Return the shards in dataset order, and the schema that they are brought to."""
        ...


class KnownFile(NamedTuple):
    """One source and its content; None where nothing will be looked up or kept."""

    file: SourceFile
    content: Content | None

    @property
    def digest(self) -> Digest:
        """Digest of its content; "" where that does not matter."""
        return Digest("") if self.content is None else self.content.digest
