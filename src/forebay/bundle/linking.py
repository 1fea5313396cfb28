"""Taking a bundle's objects by second names of their files, each looked at in full before.

The next ones are looked at, and flushed, while those before are published: a disk that commits and processors that
unpack wait for each other no more than they must.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from forebay.bundle.archive import Member
from forebay.bundle.checking import check_object, check_small, is_small
from forebay.bundle.frames import Coders
from forebay.bundle.manifest import PackedObject
from forebay.bundle.source import Source
from forebay.config import CodecName
from forebay.errors import StoreError
from forebay.types import ObjectRef

if TYPE_CHECKING:
    from forebay.store import Batch, Store

Taken: TypeAlias = "tuple[Member, PackedObject]"

ROLE = "bundle"
"""What an object is to nobody yet."""
_FLUSHES = 8


class Linker:
    """Takes objects by second names. A context manager; to be used from one thread.

    Args:
        store: that takes them.
        source: whose files they are.
        wanted: the objects, in the order in which they will come.
        coders: threads that look at them.
    """

    def __init__(self, store: Store, source: Source, wanted: Sequence[Taken], coders: Coders) -> None:
        self._source = source
        self._coders = coders
        self._flushing = ThreadPoolExecutor(_FLUSHES, thread_name_prefix="forebay-flush")
        self._files: dict[str, tuple[Path, os.stat_result]] = {}
        for member, what in wanted:
            path = source.file(member)
            facts = None if path is None else _facts(path)
            if path is not None and facts is not None:
                self._files[what.digest] = path, facts
        if self._files:
            home = store.home.stat().st_dev
            self._files = {digest: each for digest, each in self._files.items() if each[1].st_dev == home}
        small, _ = parted(each for each in wanted if each[1].digest in self._files)
        self._looked = coders.ahead((what, 0, partial(self._look, member, what)) for member, what in small)

    def link(self, batch: Batch, group: Sequence[Taken]) -> list[Taken]:
        """Stage objects, the next of those that are wanted; return those that cannot be taken so.

        Raises:
            BundleError: one is not what the MANIFEST says, or was changed meanwhile.
            StoreError: they cannot be kept.
        """
        here = [each for each in group if each[1].digest in self._files]
        if not here:
            return list(group)
        small, large = parted(here)
        flushes = [flush for _, (_, flush) in zip(small, self._looked, strict=False)]
        for member, what in large:
            flushes.append(self._flush(what))
            check_object(self._source, member, self._coders)
        for flush in flushes:
            flush.result()
        files: list[tuple[ObjectRef, Path, CodecName]] = []
        for member, what in here:
            path, before = self._files[what.digest]
            if not _is_the_same(before, _facts(path)):
                raise self._source.refused(member, "was changed while it was read")
            files.append((ObjectRef(ROLE, what.digest, what.size), path, what.pack))
        failed = {ref.digest for ref in batch.link(files)}
        return [each for each in group if each[1].digest in failed or each[1].digest not in self._files]

    def __enter__(self) -> Linker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._flushing.shutdown(wait=True, cancel_futures=True)

    def _look(self, member: Member, what: PackedObject) -> Future[None]:
        """Look at a small object, and have it flushed meanwhile: whoever changes it then is found out by its times."""
        flush = self._flush(what)
        check_small(self._source, member)
        return flush

    def _flush(self, what: PackedObject) -> Future[None]:
        return self._flushing.submit(flush_file, self._files[what.digest][0])


def flush_file(path: Path) -> None:
    """Make a file's content durable, if the file is there.

    Raises:
        StoreError: it cannot be.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        pass  # who reads it, or compares it with what it was, says so
    except OSError as error:
        raise StoreError(f"cannot make {path} durable: {error.strerror}", subject=path) from error


def parted(group: Iterable[Taken]) -> tuple[list[Taken], list[Taken]]:
    """Return the small ones and the others."""
    small: list[Taken] = []
    large: list[Taken] = []
    for each in group:
        (small if is_small(each[1]) else large).append(each)
    return small, large


def _facts(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:  # reading it says what is wrong
        return None


def _is_the_same(before: os.stat_result, now: os.stat_result | None) -> bool:
    return now is not None and all(
        getattr(before, fact) == getattr(now, fact) for fact in ("st_ino", "st_mtime_ns", "st_size")
    )
