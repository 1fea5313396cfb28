"""Single flight: of all processes that want some work, one does it and the others wait for what it makes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from forebay.errors import StoreError
from forebay.events import Event, Hook, What
from forebay.io import Lease, LeaseFolder, Progress
from forebay.store.batch import Batch
from forebay.types import Cost, Entry, Key

_FIRST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 0.5
_GROWTH = 1.4


@dataclass(frozen=True, slots=True)
class Flight:
    """Builds one entry once over all processes.

    Attributes:
        leases: who builds what.
        look: returns the entry if the store holds it whole.
        batch: begins a batch.
        hook: is told of waiting, taking over and building.
    """

    leases: LeaseFolder
    look: Callable[[str, Key], Entry | None]
    batch: Callable[[], Batch]
    hook: Hook

    def build(
        self, kind: str, key: Key, make: Callable[[Batch], Entry], on_wait: Callable[[Progress], None] | None
    ) -> Entry:
        """Return the entry, made by whoever comes first; see `Store.build`."""
        wait, waited = _FIRST_WAIT_SECONDS, 0.0
        while True:
            found = self.look(kind, key)
            if found is not None:
                self.hook(Event(What.HIT, key=key, kind=kind, bytes=found.cost.bytes, seconds=found.cost.seconds))
                return found
            try:
                lease = self.leases.acquire(key)
            except OSError as error:
                # Leases are for thrift: where none can be had, the work is done all the same.
                self.hook(
                    Event(What.WARNING, f"cannot take the lease for {kind} {key[:12]}: {error}; going on without")
                )
                return self._make(kind, key, make)
            if lease is not None:
                with lease:
                    return self._make_under(lease, kind, key, make)
            self._tell_waiting(kind, key, first=not waited, on_wait=on_wait)
            time.sleep(wait)
            waited += wait
            wait = min(wait * _GROWTH, _LONGEST_WAIT_SECONDS)

    def _make_under(self, lease: Lease, kind: str, key: Key, make: Callable[[Batch], Entry]) -> Entry:
        found = self.look(kind, key)  # it may have been published just before the lease came free
        if found is not None:
            self.hook(Event(What.HIT, key=key, kind=kind, bytes=found.cost.bytes, seconds=found.cost.seconds))
            return found
        if lease.generation > 1:
            self.hook(
                Event(What.TAKEOVER, f"{kind} {key[:12]} was left unfinished; taking it over", key=key, kind=kind)
            )
        return self._make(kind, key, make)

    def _make(self, kind: str, key: Key, make: Callable[[Batch], Entry]) -> Entry:
        began = time.perf_counter()
        with self.batch() as batch:
            entry = make(batch)
            if (entry.kind, entry.key) != (kind, key):
                what = f"asked to build {kind} {key[:12]}, got {entry.kind} {entry.key[:12]}"
                raise StoreError(what, subject=key, hint="make() must return the entry that was asked for")
            seconds = time.perf_counter() - began
            if entry.cost == Cost():
                entry = replace(entry, cost=Cost(seconds, sum(ref.size for ref in entry.objects)))
            batch.add(entry)
        self.hook(Event(What.BUILD, key=key, kind=kind, bytes=entry.cost.bytes, seconds=seconds))
        return batch.committed(entry)

    def _tell_waiting(self, kind: str, key: Key, *, first: bool, on_wait: Callable[[Progress], None] | None) -> None:
        if not first and on_wait is None:
            return
        try:
            progress = self.leases.progress(key)
        except OSError:
            return
        if progress is None:
            return
        if first:
            who = f"process {progress.pid} on {progress.host}" if progress.pid else "another process"
            self.hook(Event(What.WAIT, f"waiting for {who} to make {kind} {key[:12]}", key=key, kind=kind))
        if on_wait is not None:
            on_wait(progress)
