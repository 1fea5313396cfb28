"""One file: fetched once over all processes, from the first mirror that has it right, and only what is missing.

The order of things, each of which can be cut at any moment:

1. Is it there? Then that is all.
2. The lease on the file's key. Somebody else has it: wait, show his progress, look again.
3. What a partial holds already is hashed, and the origin is asked for the rest.
4. Cut: wait, ask again from there. So often in vain: the next mirror, from there.
5. Whole: is it what the identity says? If not, it is dropped; tried again if parts of it were older or from elsewhere;
   else the mirror lies, and the next one is asked from the start.
6. Published; the partial goes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from forebay.errors import ForebayError, LeaseLostError, OriginError, WrongBytesError
from forebay.events import Event, Hook, What
from forebay.hub.chain import Outages
from forebay.hub.content import Check
from forebay.hub.making_room import allot, cover, reserve
from forebay.hub.origin import Origin
from forebay.hub.partial import InMemory, Partials, Sink
from forebay.hub.patience import Busy, Patience
from forebay.hub.publishing import Publisher, Ready
from forebay.hub.snapshot import CONTENT, FILE, Snapshot, SnapshotFile
from forebay.hub.trail import Trail
from forebay.hub.vouching import is_vouched, owner, place, vouched_by
from forebay.io import Lease, Reservation, Room
from forebay.store import Store
from forebay.store.files import store_error
from forebay.types import Cost, Digest, Entry, Key, ObjectRef, is_hex64

if TYPE_CHECKING:
    from forebay.store.allotment import Allotment

_CHUNK_BYTES = 2**20
_SMALL_BYTES = 2**20
"""A file up to this size is gathered in memory: asked for again it costs less than a partial does."""
_TELL_SECONDS = 0.1
_POLL_SECONDS = 0.05


class Stopped(ForebayError):
    """The fetch was told to stop; what has come is kept if it can be gone on with."""

    retryable = True

    def __init__(self) -> None:
        super().__init__("the fetch was stopped", hint="ask for it again; what can be gone on with is kept")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch.

    Attributes:
        snapshot: what it is of.
        file: which one.
        token: instead of the configured one; "" is none at all.
        stop: once set, the fetch ends with `Stopped`.
        slots: held while bytes come, and not while they are published: how many files come at a time.
        trail: where the bytes are shown to readers of this process as they come.
    """

    snapshot: Snapshot
    file: SnapshotFile
    token: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    slots: AbstractContextManager[object] = field(default_factory=nullcontext[None])
    trail: Trail | None = None

    def check_stop(self) -> None:
        """Raise if told to stop."""
        if self.stop.is_set():
            raise Stopped


@dataclass(slots=True)
class _Run:
    """One download under way."""

    wanted: Wanted
    sink: Sink
    lease: Lease
    room: Reservation
    check: Check
    spoiled: Counter[Key]
    trail: Trail | None
    allotment: Allotment | None
    sources: set[str] = field(default_factory=set[str])
    told: float = 0.0

    def again(self) -> None:
        """Forget all bytes."""
        self.spoiled[self.wanted.file.key] += 1
        if self.trail is not None:
            self.trail.anew()
        self.sink.restart()
        self.check = Check(self.wanted.file.identity, self.wanted.file.size)
        self.sources.clear()

    def resume_or_begin_anew(self) -> None:
        """Forget bytes whose continuation nobody could recognize: there is neither a hash nor a strong ETag."""
        file = self.wanted.file
        if self.check.excess or (self.check.seen and not _may_be_gone_on_with(file)):
            self.again()

    def cut(self, failed: Sequence[OriginError]) -> OriginError:
        """Return the error for a file that no origin has sent to its end."""
        file, last = self.wanted.file, failed[-1]
        if len(failed) == 1 and not isinstance(last, Busy):
            return last
        hint = last.hint
        if isinstance(last, Busy) and self.check.seen:
            kept = _may_be_gone_on_with(file) and not isinstance(self.sink, InMemory)
            hint += "; what has come of it is kept" if kept else "; nothing of it is kept, it has to begin anew"
        error = OriginError("; ".join(dict.fromkeys(one.what for one in failed)), subject=file.path, hint=hint)
        error.__cause__ = last
        return error


@dataclass(slots=True)
class Downloader:
    """Fetches files into a store. Safe to use from several threads.

    Attributes:
        store: where to.
        origins: where from, for a snapshot.
        named: the content of a file, if its snapshot's entry names it.
        partials: where bytes gather.
        room: of the store's disk.
        attempts: how often each origin is asked in vain.
        patience: between attempts.
        hook: told of FETCH (one connection's bytes), PROGRESS (phase ``file``), WAIT, WARNING.
        outages: of origins.
    """

    store: Store
    origins: Callable[[Snapshot], Sequence[Origin]]
    named: Callable[[Snapshot, str], ObjectRef | None]
    partials: Partials
    room: Room
    attempts: int
    patience: Patience
    hook: Hook
    outages: Outages
    publisher: Publisher = field(init=False)
    spoiled: Counter[Key] = field(default_factory=Counter[Key])
    """How often bytes of a file have turned out to be wrong that others may have followed, by its key."""

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.store)

    def present(self, snapshot: Snapshot, file: SnapshotFile) -> Entry | None:
        """Return a file's entry if the store holds its bytes; a new one where only the snapshot's entry names them.

        What another repository has sent is no answer, unless that one is public: see `vouching`.
        """
        entry = self.store.get(FILE, file.key)
        if entry is not None and is_vouched(entry, owner(snapshot)) and self.store.complete(entry):
            return entry
        ref = self._named_elsewhere(snapshot, file)
        if ref is None or not self.store.has(ref.digest):
            return None
        meta = {"identity": file.identity, "size": ref.size, **vouched_by(entry, owner(snapshot))}
        parts = {"identity": file.identity, "size": file.size}
        made = Entry(FILE, file.key, (ref,), {**meta}, {**parts}, cost=Cost(0.0, ref.size), dataset=snapshot.dataset)
        return self.store.commit(made) if self.store.writable else made

    def _named_elsewhere(self, snapshot: Snapshot, file: SnapshotFile) -> ObjectRef | None:
        """Return the object that holds a file by other evidence than its entry, which may have been evicted."""
        kind, _, digest = file.identity.partition(":")
        if kind == "blake3" and is_hex64(digest) and file.size is not None:
            return ObjectRef(CONTENT, Digest(digest), file.size)
        found = self.named(snapshot, file.path)
        return replace(found, role=CONTENT) if found is not None else None

    def fetch(self, wanted: Wanted) -> Entry:
        """Return a file's entry, fetching it where it is not there.

        Raises:
            WrongBytesError: all origins send something else.
            OriginError: none can be reached.
            NotFoundError, AccessError: an origin refuses.
            StoreError: it cannot be kept.
            Stopped: `wanted.stop` was set.
        """
        while True:
            wanted.check_stop()
            entry = self.present(wanted.snapshot, wanted.file)
            if entry is not None:
                self.tell(wanted, "present", wanted.file.size or 0)
                return entry
            lease = self._lease(wanted)
            if lease is not None:
                with lease:
                    try:
                        return self.present(wanted.snapshot, wanted.file) or self._download(wanted, lease)
                    except LeaseLostError:
                        continue  # we slept for long, and somebody else does it now

    def _lease(self, wanted: Wanted) -> Lease | None:
        """Take the lease, or wait until nobody has it."""
        key = place(wanted.snapshot, wanted.file.key)
        lease = self.store.lease(key)
        if lease is not None:
            return lease
        self.hook(Event(What.WAIT, f"waiting for another to fetch {wanted.file.path}", key=key, kind=FILE))
        wait = _POLL_SECONDS / 5
        while (progress := self.store.lease_progress(key)) is not None:
            self.tell(wanted, "waiting", progress.done, progress.host)
            if wanted.stop.wait(wait):
                raise Stopped
            wait = min(wait * 1.5, _POLL_SECONDS * 4)
        return None

    def _download(self, wanted: Wanted, lease: Lease) -> Entry:
        sink, keeps = self._sink(wanted), _may_be_gone_on_with(wanted.file)
        with ExitStack() as held:  # the budget's room, until the partial has gone or is left for later
            try:
                entry = self.publisher.publish(self._gathered(wanted, lease, sink, held))
            except LeaseLostError:
                raise  # what lies there is another's now
            except (ForebayError, OSError) as error:
                if not keeps or isinstance(error, WrongBytesError):
                    sink.drop()
                if isinstance(error, ForebayError):
                    raise
                what = f"cannot keep {wanted.file.path} in {self.store.home}"
                raise store_error(what, error) from error
            finally:
                sink.pause()
            sink.drop()
        self.tell(wanted, "fetched", entry.cost.bytes)
        return entry

    def _gathered(self, wanted: Wanted, lease: Lease, sink: Sink, held: ExitStack) -> Ready:
        """Fetch and check a file's bytes; what the budget gives for them is put into `held`."""
        file, began = wanted.file, time.perf_counter()
        with wanted.slots:
            allotment = allot(self.store, place(wanted.snapshot, file.key), file, sink, held)
            with reserve(self.store, self.room, file, sink) as room:
                trail = None if isinstance(sink, InMemory) else wanted.trail
                check = Check(file.identity, file.size)
                run = _Run(wanted, sink, lease, room, check, self.spoiled, trail, allotment)
                self._take_over(run)
                self._gather(run)
                if trail is not None:
                    trail.check(run.check.digest)
                seconds, path = time.perf_counter() - began, sink.seal()
        identities, dataset = run.check.identities(), wanted.snapshot.dataset
        restricted, views = owner(wanted.snapshot), sink.views()
        return Ready(identities, file.size, run.check.digest, views, dataset, seconds, restricted, path, allotment)

    def _sink(self, wanted: Wanted) -> Sink:
        file = wanted.file
        small = file.size is not None and file.size <= _SMALL_BYTES
        return InMemory() if small else self.partials.of(place(wanted.snapshot, file.key))

    def _take_over(self, run: _Run) -> None:
        """Hash what an earlier attempt has left."""
        if run.trail is not None:
            run.trail.anew()  # what we were fetching before we lost the lease may be another attempt's
        for view in run.sink.views():
            run.check.update(view)
        run.resume_or_begin_anew()
        if run.check.seen:
            run.sources.add("")

    def _gather(self, run: _Run) -> None:
        """Go through the origins until the bytes are all there, and right."""
        failed: list[OriginError] = []
        wrong: list[str] = []
        file = run.wanted.file
        origins = self.outages.ordered(self.origins(run.wanted.snapshot))
        for origin in origins:
            try:
                while not self._is_right(run, origin, wrong):
                    pass
            except OriginError as error:
                if not isinstance(error, WrongBytesError):
                    failed.append(error)
                self.outages.failed(origin, error, file.path, others=origin is not origins[-1])
            else:
                self.outages.answered(origin)
                return
        if wrong:
            what = f"{file.path} of {run.wanted.snapshot.dataset} should be {file.identity}, but {'; '.join(wrong)}"
            of_hub = run.wanted.snapshot.hub in ("hf", "ms")
            do = (
                "ask another mirror, or tell the hub" if of_hub else "fetch it again, for it may have changed meanwhile"
            )
            hint = f"nothing of it was kept; {do}"
            raise WrongBytesError(what, subject=file.path, hint=hint)
        raise run.cut(failed)

    def _is_right(self, run: _Run, origin: Origin, wrong: list[str]) -> bool:
        """Fetch what is missing; False: some of it was older, and all must be fetched again.

        Raises:
            WrongBytesError: this origin sends something else.
        """
        complete = self._complete(run, origin)
        found = run.check.found()
        if complete and found == run.check.identity:
            return True
        mixed = bool(run.sources - {origin.name})
        run.again()
        if not mixed:
            wrong.append(f"{origin.name} sends {found}")
            raise WrongBytesError(wrong[-1])
        return False

    def _complete(self, run: _Run, origin: Origin) -> bool:
        """Fetch until nothing is missing, with patience; False: what comes cannot be right."""
        attempt, reached = 0, run.check.seen
        while run.check.size is None or run.check.seen < run.check.size:
            try:
                fits = self._pull(run, origin)
            except Busy as error:  # what begins anew each time comes no further
                attempt = 1 if run.check.seen > reached else attempt + 1
                reached = max(reached, run.check.seen)
                if attempt >= self.attempts:
                    raise
                if self.patience.wait(attempt - 1, error, run.wanted.stop):
                    raise Stopped from None
                run.resume_or_begin_anew()
                continue
            if not fits or run.check.size is None:
                return fits
        return True

    def _pull(self, run: _Run, origin: Origin) -> bool:
        """Take what one connection brings; False: it cannot be right."""
        file, start, began = run.wanted.file, run.check.seen, time.perf_counter()
        came = 0
        with origin.read(run.wanted.snapshot, file, start, file.etag, token=run.wanted.token) as body:
            if file.etag and body.etag and body.etag != file.etag:
                what = f"{file.path} has changed at {body.host} since it was looked at"
                raise OriginError(what, subject=file.path, hint="resolve it again")
            if None not in (body.size, file.size) and body.size != file.size:
                run.check.seen = body.size or 0  # what `found` tells
                return False
            skip = start - body.start
            if skip < 0:
                raise OriginError(f"{body.host} does not send what it was asked for", subject=file.path)
            run.sources.add(origin.name)
            try:
                for chunk in body.chunks(_CHUNK_BYTES):
                    came += len(chunk)
                    fresh = chunk[skip:] if skip else chunk
                    skip = max(skip - len(chunk), 0)
                    if fresh:
                        self._take(run, fresh, body.host)
                    if run.check.excess:
                        return False
            finally:
                facts = {"host": body.host, "path": file.path, "dataset": run.wanted.snapshot.dataset}
                seconds = time.perf_counter() - began
                self.hook(Event(What.FETCH, "", file.key, FILE, bytes=came, seconds=seconds, facts={**facts}))
        if run.check.size is not None and run.check.seen < run.check.size:
            raise Busy(f"{body.host} stopped sending {file.path}", subject=file.path)
        return True

    def _take(self, run: _Run, data: bytes, host: str) -> None:
        run.wanted.check_stop()
        run.lease.check()
        if run.wanted.file.size is None:
            if run.allotment is not None:
                run.allotment.cover(run.check.seen + len(data))
            cover(self.store, self.room, run.room, run.wanted.file, run.check.seen, len(data))
        if run.trail is not None:
            run.trail.add(run.check.seen, data, run.check.so_far())
        run.sink.write(data)
        run.check.update(data)
        run.room.written(len(data))
        now = time.monotonic()
        if now - run.told >= _TELL_SECONDS:
            run.told = now
            run.lease.progress(run.wanted.file.path, run.check.seen, run.check.size or 0)
            self.tell(run.wanted, "running", run.check.seen, host)

    def tell(self, wanted: Wanted, state: str, done: int, host: str = "") -> None:
        """Tell how far a file is: ``present``, ``waiting``, ``running``, ``fetched``."""
        file = wanted.file
        facts = {"phase": "file", "path": file.path, "state": state, "done": done, "total": file.size, "host": host}
        self.hook(Event(What.PROGRESS, key=file.key, kind=FILE, facts={**facts, "dataset": wanted.snapshot.dataset}))


def _may_be_gone_on_with(file: SnapshotFile) -> bool:
    """Tell whether what has come of a file is of use to the next attempt: a wrong continuation would be seen."""
    return file.size is not None and (bool(file.etag) or Check(file.identity, file.size).by_hash)
