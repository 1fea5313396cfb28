"""Taking a bundle's objects into a store: by copying, or by a second name where they are files of their own there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from forebay.bundle.archive import Member
from forebay.bundle.checking import check_object, check_small, is_small, read_large, read_small, wrong_bytes
from forebay.bundle.frames import Coders
from forebay.bundle.manifest import PackedObject
from forebay.bundle.source import Source, objects_of
from forebay.config import CodecName
from forebay.errors import StoreError
from forebay.events import Event, Hook, What
from forebay.types import Buffer, ObjectRef

if TYPE_CHECKING:
    from forebay.store import Batch, Store

_GROUP_BYTES = 256 * 2**20
_GROUP = 1000
_TELL_SECONDS = 0.2
_FLUSHES = 8
_ROLE = "bundle"

Taken: TypeAlias = "tuple[Member, PackedObject]"


class Taker:
    """Takes the objects of one bundle.

    Attributes:
        new: number of those that the store had not.
        new_bytes: their decoded bytes.
        linked: number of those that were taken by a second name.
    """

    def __init__(self, store: Store, source: Source, *, link: bool, hook: Hook) -> None:
        self._store = store
        self._source = source
        self._linking = link
        self._hook = hook
        self._told = monotonic()
        self.new = 0
        self.new_bytes = 0
        self.linked = 0

    def take(self, whole: Batch) -> None:
        """Take all objects that the store has not, in groups.

        Args:
            whole: relies on each, from when it is there.
        """
        refs = [ObjectRef(_ROLE, what.digest, what.size) for _, what in objects_of(self._source)]
        lacking = {ref.digest for ref in whole.rely(refs)}
        left = [(member, what) for member, what in objects_of(self._source) if what.digest in lacking]
        self.new, self.new_bytes = len(left), sum(what.size for _, what in left)
        done = 0
        with Coders() as coders:
            for group in _groups(left):
                with self._store.batch() as batch:
                    to_copy = self._link(batch, group, coders) if self._linking else group
                    done += sum(what.size for _, what in group) - sum(what.size for _, what in to_copy)
                    for what in self._copy_all(batch, to_copy, coders):
                        done += what.size
                        self._tell(done, self.new_bytes)
                if whole.rely(ObjectRef(_ROLE, what.digest, what.size) for _, what in group):
                    raise StoreError("an object vanished while it was installed", hint="try again")

    def _copy(self, batch: Batch, member: Member, what: PackedObject, data: Buffer | Iterable[Buffer]) -> None:
        """Stage an object. Its bytes get their name from what they are: if that is another one, nothing comes of it."""
        ref = batch.put(_ROLE, data)
        if (ref.digest, ref.size) != (what.digest, what.size):
            raise wrong_bytes(self._source, member)

    def _copy_all(self, batch: Batch, group: Iterable[Taken], coders: Coders) -> Iterator[PackedObject]:
        """Stage objects by copying; yield each that is."""
        small, large = _parted(group)
        jobs = ((each, each[1].size, partial(read_small, self._source, each[0])) for each in small)
        for (member, what), data in coders.ahead(jobs):
            self._copy(batch, member, what, data)
            yield what
        for member, what in large:
            self._copy(batch, member, what, read_large(self._source, member, coders))
            yield what

    def _link(self, batch: Batch, group: Sequence[Taken], coders: Coders) -> list[Taken]:
        """Stage objects by second names of their files, all looked at in full; return those that cannot be."""
        files = {what.digest: self._source.file(member) for member, what in group}
        before = {digest: path.stat() for digest, path in files.items() if path is not None}
        if not before:
            return list(group)
        home = self._store.home.stat().st_dev
        here = [each for each in group if each[1].digest in before and before[each[1].digest].st_dev == home]
        small, large = _parted(here)
        jobs = ((each, each[1].size, partial(check_small, self._source, each[0])) for each in small)
        for _ in coders.ahead(jobs):
            pass
        for member, _ in large:
            check_object(self._source, member, coders)
        paths = [path for _, what in here if (path := files[what.digest]) is not None]
        with ThreadPoolExecutor(_FLUSHES, thread_name_prefix="forebay-flush") as pool:
            for _ in pool.map(flush_file, paths):
                pass
        for (member, what), path in zip(here, paths, strict=True):
            if _state(path.stat()) != _state(before[what.digest]):
                raise self._source.refused(member, "was changed while it was read")
        refs = [ObjectRef(_ROLE, what.digest, what.size) for _, what in here]
        packs: list[CodecName] = [what.pack for _, what in here]
        failed = {ref.digest for ref in batch.link(list(zip(refs, paths, packs, strict=True)))}
        self.linked += len(here) - len(failed)
        done = {what.digest for _, what in here} - failed
        return [each for each in group if each[1].digest not in done]

    def _tell(self, done: int, total: int) -> None:
        if monotonic() - self._told > _TELL_SECONDS:
            self._told = monotonic()
            facts = {"phase": "bundle", "done": done, "total": total}
            self._hook(Event(What.PROGRESS, "installing", bytes=done, facts=facts))


def flush_file(path: Path) -> None:
    """Make a file's content durable.

    Raises:
        StoreError: it cannot be.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"cannot make {path} durable: {error.strerror}", subject=path) from error


def _parted(group: Iterable[Taken]) -> tuple[list[Taken], list[Taken]]:
    """Return the small ones and the others."""
    small: list[Taken] = []
    large: list[Taken] = []
    for each in group:
        (small if is_small(each[1]) else large).append(each)
    return small, large


def _state(facts: os.stat_result) -> tuple[int, int, int]:
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _groups(left: Sequence[Taken]) -> Iterator[list[Taken]]:
    """Yield objects in groups that are published together: what a kill costs is one of them."""
    group: list[Taken] = []
    size = 0
    for member, what in left:
        group.append((member, what))
        size += what.size
        if size >= _GROUP_BYTES or len(group) >= _GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group
