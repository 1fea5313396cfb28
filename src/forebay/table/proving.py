"""That what is read is what was keyed: a source may be replaced between its digest and its reading.

A digest belongs to a state of the file (device, inode, size, times). Where the state is the same before and after the
reading, so is the content: no second pass over the bytes. A state so young that a later write could leave it as it is
(`is_racy`) proves nothing; such a file's bytes are hashed again when it has been read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from forebay.errors import SourceError
from forebay.fingerprint import FileMemo, digest_bytes, file_digest
from forebay.fingerprint.digests import is_racy, state_of
from forebay.table.resolving import SourceFile
from forebay.types import JSON, Digest


@dataclass(frozen=True, slots=True)
class Content:
    """What a source's content is known to be.

    Attributes:
        digest: of the file's bytes; of several files, of their digests.
        state: stands for the state that the files had then; "" where it proves nothing.
    """

    digest: Digest
    state: str

    def to_json(self) -> JSON:
        """Return it as JSON: ``[digest, state]``."""
        return [self.digest, self.state]

    @classmethod
    def from_json(cls, data: JSON) -> Content:
        """Return what `to_json` wrote."""
        digest, state = cast("list[str]", data)
        return cls(Digest(digest), state)


def content_of(file: SourceFile, memo: FileMemo) -> Content:
    """Return what a source's content is now; an unchanged file is not even opened.

    Raises:
        NotFoundError, SourceError: it is not there, or cannot be read.
    """
    found = [_known(path, memo) for path in file.paths]
    digest = digest_bytes("".join(one for one, _ in found).encode()) if file.documents else found[0][0]
    states = [state for _, state in found]
    return Content(digest, _spelled(states) if None not in states else "")


@contextmanager
def unchanged(file: SourceFile, content: Content | None) -> Generator[None]:
    """Prove that a source's content is `content` all the while; None: nothing is known of it, and nothing proven.

    Raises:
        SourceError: it changed.
    """
    if content is None:
        yield
        return
    before = _state_now(file)
    if content.state and content.state != before:
        raise changed(file.path)
    yield
    same = content.state or content.digest == content_of(file, _Forgetful()).digest
    if not same or before != _state_now(file):
        raise changed(file.path)


def changed(path: str) -> SourceError:
    """Return the error about a file that is not what it was."""
    return SourceError(
        f"{path} changed while it was being read", subject=path, hint="run again; nothing of it was kept"
    )


class _Forgetful:
    """A memo that knows nothing."""

    def get(self, _path: str, _stat: os.stat_result, /) -> Digest | None:
        return None

    def put(self, path: str, stat: os.stat_result, digest: Digest, /) -> None:
        """Remember nothing."""


def _known(path: str, memo: FileMemo) -> tuple[Digest, tuple[int, ...] | None]:
    """Digest and state of one file; no state where it proves nothing."""
    try:
        before = os.stat(path)
    except OSError:
        return file_digest(path, memo), None  # an error, told as any other
    known = memo.get(path, before)
    if known is not None:  # what the memo remembers has a state that proves something
        return known, state_of(before)
    began = time.time_ns()
    digest = file_digest(path, memo)
    try:
        proves = state_of(os.stat(path)) == state_of(before) and not is_racy(before, began)
    except OSError:
        proves = False
    return digest, state_of(before) if proves else None


def _state_now(file: SourceFile) -> str:
    try:
        return _spelled(state_of(os.stat(path)) for path in file.paths)
    except OSError:
        return ""  # it has gone


def _spelled(states: Iterable[tuple[int, ...] | None]) -> str:
    return digest_bytes(repr(list(states)).encode())
