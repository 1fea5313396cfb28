"""What batches work with: one set of tools per open store."""

from __future__ import annotations

from dataclasses import dataclass

from forebay.config import CodecName
from forebay.io import Filesystem, Staged
from forebay.store.files import Files
from forebay.store.layout import Layout
from forebay.store.ledger import Ledger
from forebay.store.reading import Reader
from forebay.store.session import Session
from forebay.types import Digest


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a batch works with."""

    fs: Filesystem
    layout: Layout
    files: Files
    ledger: Ledger
    reader: Reader
    mine: Session
    codec: CodecName


@dataclass(slots=True)
class Waiting:
    """An object that is staged and waits to be published."""

    digest: Digest
    kept: CodecName
    staged: Staged
    bytes: int
    """At rest."""

    @property
    def fact(self) -> tuple[Digest, CodecName, int]:
        """What the books say of it once it is published."""
        return self.digest, self.kept, self.bytes
