"""Files that a user's function reads, and that the recipe names: their content is part of the key.

They are read by the function, whenever it likes, after they were keyed. So their content is looked at again once a
result is there: where it is another one by then, nobody knows which of the two the function has read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from forebay.errors import NotFoundError, SourceError
from forebay.fingerprint import FileContent, FileMemo, KeyTree, file_digest, tree
from forebay.fingerprint.digests import state_of
from forebay.types import Digest


class NamedFiles:
    """Such files of one function, as they were when it was keyed. A file is read again only if its state is another.

    Args:
        files: what to call each, and where it is.
        memo: remembers digests.

    Raises:
        NotFoundError, SourceError: one is not there, or cannot be read.
    """

    def __init__(self, files: Iterable[tuple[str, Path]], memo: FileMemo | None) -> None:
        self._states: dict[str, tuple[int, ...]] = {}
        self._digests: dict[str, Digest] = {}
        self.keys: list[KeyTree] = []
        """The key of each."""
        for label, path in files:
            name = os.fspath(path)
            self._digests[name] = file_digest(name, _Through(self, memo))
            self.keys.append(tree(FileContent(path), label=label, memo=_Known(self._digests[name])))

    def check(self) -> None:
        """See that all are as they were keyed.

        Raises:
            SourceError: one is not.
        """
        for name, digest in self._digests.items():
            try:
                same = file_digest(name, self) == digest
            except NotFoundError:
                same = False
            if not same:
                what = f"{name} changed while functions that read it were running"
                raise SourceError(what, subject=name, hint="run again; nothing was kept that may have seen both")

    def get(self, path: str, stat: os.stat_result, /) -> Digest | None:
        """Return a file's digest, if this state of it is known."""
        return self._digests[path] if self._states.get(path) == state_of(stat) else None

    def put(self, path: str, stat: os.stat_result, digest: Digest, /) -> None:
        """Note a state that surely has this content."""
        if self._digests.setdefault(path, digest) == digest:
            self._states[path] = state_of(stat)


class _Through:
    """Notes what another memo knows or learns."""

    def __init__(self, mine: NamedFiles, memo: FileMemo | None) -> None:
        self._mine = mine
        self._memo = memo

    def get(self, path: str, stat: os.stat_result, /) -> Digest | None:
        """See `FileMemo`."""
        known = None if self._memo is None else self._memo.get(path, stat)
        if known is not None:
            self._mine.put(path, stat, known)
        return known

    def put(self, path: str, stat: os.stat_result, digest: Digest, /) -> None:
        """See `FileMemo`."""
        self._mine.put(path, stat, digest)
        if self._memo is not None:
            self._memo.put(path, stat, digest)


class _Known:
    """A memo that knows one digest: a file that is being written must not have two."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest

    def get(self, _path: str, _stat: os.stat_result, /) -> Digest | None:
        """See `FileMemo`."""
        return self._digest

    def put(self, path: str, stat: os.stat_result, digest: Digest, /) -> None:
        """Nothing to remember."""
