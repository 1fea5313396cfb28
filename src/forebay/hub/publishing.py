"""Publishing fetched files: small ones that are ready at the same time share one commit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.errors import ForebayError, StoreError
from forebay.hub.snapshot import CONTENT, FILE, file_key
from forebay.hub.taking import taken
from forebay.hub.vouching import vouched_by
from forebay.store import Batch, Store
from forebay.types import JSON, Buffer, Cost, Digest, Entry, Key, ObjectRef

if TYPE_CHECKING:
    from forebay.store.allotment import Allotment

_TOGETHER_BYTES = 8 * 2**20
_PIECE_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Ready:
    """A file whose bytes have been checked.

    Attributes:
        identities: all names that it is to be found under, the one that was asked for first.
        size: as the snapshot says it (it is part of the key); None: unknown there.
        digest: what a store calls the bytes.
        views: the bytes, in pieces.
        dataset: human name of what it was fetched for.
        seconds: what it took.
        restricted: which repository vouches for the bytes, if not all may have them; "": a public one does.
        path: a durable file that holds just these bytes and that nobody writes to any more, to be moved and not copied.
        allotment: the budget's room that was set apart for them.
    """

    identities: Sequence[str]
    size: int | None
    digest: Digest
    views: Sequence[memoryview]
    dataset: str
    seconds: float
    restricted: str = ""
    path: Path | None = None
    allotment: Allotment | None = None

    @property
    def bytes(self) -> int:
        """How many there are."""
        return sum(view.nbytes for view in self.views)


@dataclass(eq=False)
class _Job:
    ready: Ready
    done: threading.Event = field(default_factory=threading.Event)
    entry: Entry | None = None
    error: BaseException | None = None


class Publisher:
    """Publishes files as `file` entries. Safe to use from several threads: one commits for all that wait."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._guard = threading.Lock()
        self._committing = threading.Lock()
        self._waiting: list[_Job] = []

    def publish(self, ready: Ready) -> Entry:
        """Publish a file and return its entry; when this returns, it survives a power cut.

        Raises:
            StoreError: see `Batch`.
        """
        if ready.bytes > _TOGETHER_BYTES:
            return self._commit([ready])[0]
        job = _Job(ready)
        with self._guard:
            self._waiting.append(job)
        with self._committing:
            if not job.done.is_set():
                with self._guard:
                    jobs, self._waiting = self._waiting, []
                self._commit_all(jobs)
        if job.error is not None:
            raise job.error
        if job.entry is None:
            raise AssertionError("a job that is done has an entry or an error")
        return job.entry

    def _commit_all(self, jobs: list[_Job]) -> None:
        try:
            entries = self._commit([job.ready for job in jobs])
        except ForebayError:
            for job in jobs:  # one that finds no room must not take the others with it
                self._commit_one(job)
        else:
            for job, entry in zip(jobs, entries, strict=True):
                job.entry = entry
        finally:
            for job in jobs:
                job.done.set()

    def _commit_one(self, job: _Job) -> None:
        try:
            job.entry = self._commit([job.ready])[0]
        except ForebayError as error:
            job.error = error

    def _commit(self, group: Sequence[Ready]) -> list[Entry]:
        with self._store.batch() as batch:
            entries = [self._put(batch, ready) for ready in group]
        return [batch.committed(entry) for entry in entries]

    def _put(self, batch: Batch, ready: Ready) -> Entry:
        """Stage a file and its entries: one for each of its names."""
        ref = _put_content(batch, ready, raw=self._store.settings.codec == "none")
        entries = [
            Entry(
                FILE,
                (key := file_key(identity, ready.size)),
                objects=(ref,),
                meta={"identity": identity, "size": ref.size, **self._vouched(key, ready.restricted)},
                parts={"identity": identity, "size": ready.size},
                cost=Cost(ready.seconds, ref.size),
                dataset=ready.dataset,
            )
            for identity in ready.identities
        ]
        for entry in entries:
            batch.add(entry)
        return entries[0]

    def _vouched(self, key: Key, restricted: str) -> dict[str, JSON]:
        return vouched_by(self._store.get(FILE, key), restricted) if restricted else {}


def _put_content(batch: Batch, ready: Ready, *, raw: bool) -> ObjectRef:
    if ready.allotment is not None:
        batch.take_over(ready.allotment)
    if raw and ready.path is not None and len(ready.views) == 1:
        ref = ObjectRef(CONTENT, ready.digest, ready.bytes)
        if taken(batch, ref, ready.path):
            return ref
    # One mapping is hashed by several threads and written without a copy; pieces go through one by one.
    data: Buffer | chain[memoryview] = ready.views[0] if len(ready.views) == 1 else _pieces(ready.views)
    ref = batch.put(CONTENT, data)
    if ref.digest != ready.digest:
        what = f"{ready.identities[0]} of {ready.dataset} is no more on the disk what it was when it was checked"
        raise StoreError(
            what, subject=ready.digest, hint="look after the disk; ask again: what is wrong is fetched anew"
        )
    return ref


def _pieces(views: Sequence[memoryview]) -> chain[memoryview]:
    return chain.from_iterable(
        (view[start : start + _PIECE_BYTES] for start in range(0, view.nbytes, _PIECE_BYTES)) for view in views
    )
