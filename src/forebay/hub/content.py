"""Is this what was asked for? Identities, checked as the bytes come."""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

from blake3 import blake3

from forebay.types import Buffer, Digest

_ALIAS_BYTES = 10 * 2**20
"""Hubs demand LFS from this size on; a smaller file may be named by git on one hub and by sha256 on another."""


class _Hash(Protocol):
    def update(self, data: Any, /) -> object: ...
    def hexdigest(self) -> str: ...


class Check:
    """Hashes bytes in order, under every name by which a hub may call them.

    Args:
        identity: what they must be.
        size: how many they must be; None: not known.
    """

    def __init__(self, identity: str, size: int | None) -> None:
        self.identity = identity
        self.size = size
        self.seen = 0
        """Bytes so far."""
        wanted = {identity.partition(":")[0]}
        if size is not None and size <= _ALIAS_BYTES:
            wanted |= {"sha256", "git"}
        self._content = blake3()
        self._hashes = {name: found for name in sorted(wanted) if (found := _new(name, size)) is not None}

    def update(self, data: Buffer) -> None:
        """Take some more bytes."""
        self.seen += memoryview(data).nbytes
        self._content.update(data)
        for each in self._hashes.values():
            each.update(data)

    def so_far(self) -> blake3:
        """Return the hash that a store names bytes by, of those seen so far: a copy."""
        return self._content.copy()

    @property
    def digest(self) -> Digest:
        """What a store calls the bytes so far."""
        return Digest(self._content.hexdigest())

    @property
    def by_hash(self) -> bool:
        """Whether the identity is one of the bytes themselves, so that any change is seen in the end."""
        return self.identity.partition(":")[0] in self._hashes

    @property
    def excess(self) -> bool:
        """Whether more bytes have come than there may be."""
        return self.size is not None and self.seen > self.size

    def found(self) -> str:
        """Return what the bytes are: their identity, or their number where that is wrong."""
        if self.size is not None and self.seen != self.size:
            return f"{self.seen} bytes instead of {self.size}"
        kind = self.identity.partition(":")[0]
        return f"{kind}:{self._hashes[kind].hexdigest()}" if kind in self._hashes else self.identity

    def identities(self) -> list[str]:
        """Return all names of the bytes, the one asked for first."""
        others = [f"{kind}:{each.hexdigest()}" for kind, each in self._hashes.items()]
        return list(dict.fromkeys([self.identity, *others]))


def _new(kind: str, size: int | None) -> _Hash | None:
    match kind:
        case "sha256":
            return hashlib.sha256()
        case "git" if size is not None:
            return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        case "blake3":
            return blake3()
        case _:
            return None
