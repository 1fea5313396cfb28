"""Taking a bundle's objects into a store: by copying, or by a second name where they are files of their own there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from forebay.bundle.archive import Member
from forebay.bundle.checking import read_large, read_small, wrong_bytes
from forebay.bundle.frames import Coders
from forebay.bundle.linking import ROLE, Linker, Taken, parted
from forebay.bundle.manifest import PackedObject
from forebay.bundle.source import Source, objects_of
from forebay.errors import StoreError
from forebay.events import Event, Hook, What
from forebay.types import Buffer, ObjectRef

if TYPE_CHECKING:
    from forebay.store import Batch, Store

_GROUP_BYTES = 128 * 2**20
_GROUP = 1000
_TELL_SECONDS = 0.2


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

        Raises:
            BundleError: an object is not what the MANIFEST says; the groups before it stay.
            StoreError: the store cannot take them, or one that was taken vanished.
        """
        refs = [ObjectRef(ROLE, what.digest, what.size) for _, what in objects_of(self._source)]
        lacking = {ref.digest for ref in whole.rely(refs)}
        left = [(member, what) for member, what in objects_of(self._source) if what.digest in lacking]
        self.new, self.new_bytes = len(left), sum(what.size for _, what in left)
        done = 0
        with Coders() as coders, Linker(self._store, self._source, left if self._linking else (), coders) as linker:
            for group in _groups(left):
                with self._store.batch() as batch:
                    to_copy = linker.link(batch, group)
                    done += sum(what.size for _, what in group) - sum(what.size for _, what in to_copy)
                    self.linked += len(group) - len(to_copy)
                    for what in self._copy_all(batch, to_copy, coders):
                        done += what.size
                        self._tell(done, self.new_bytes)
                if whole.rely(ObjectRef(ROLE, what.digest, what.size) for _, what in group):
                    raise StoreError("an object vanished while it was installed", hint="try again")

    def _copy(self, batch: Batch, member: Member, what: PackedObject, data: Buffer | Iterable[Buffer]) -> None:
        """Stage an object. Its bytes get their name from what they are: if that is another one, nothing comes of it."""
        ref = batch.put(ROLE, data)
        if (ref.digest, ref.size) != (what.digest, what.size):
            raise wrong_bytes(self._source, member)

    def _copy_all(self, batch: Batch, group: Iterable[Taken], coders: Coders) -> Iterator[PackedObject]:
        """Stage objects by copying; yield each that is."""
        small, large = parted(group)
        jobs = ((each, each[1].size, partial(read_small, self._source, each[0])) for each in small)
        for (member, what), data in coders.ahead(jobs):
            self._copy(batch, member, what, data)
            yield what
        for member, what in large:
            self._copy(batch, member, what, read_large(self._source, member, coders))
            yield what

    def _tell(self, done: int, total: int) -> None:
        if monotonic() - self._told > _TELL_SECONDS:
            self._told = monotonic()
            facts = {"phase": "bundle", "done": done, "total": total}
            self._hook(Event(What.PROGRESS, "installing", bytes=done, facts=facts))


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
