"""What does a reference mean now? As few questions as that takes, and an answer even when the hub is down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from forebay.errors import CacheRequiredError, NotFoundError, OriginError, StoreError
from forebay.events import Event, Hook, What
from forebay.hub.chain import Outages, first_answer
from forebay.hub.memory import Memory, Remembered
from forebay.hub.origin import Listing, Origin
from forebay.hub.passing import unkept
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot, key_of
from forebay.io import Lease
from forebay.store import Store

_QUIET_SECONDS = 10.0
"""After a hub could not be reached, the last known answer is given for so long without asking again.

And what is not known is asked for once, for whoever asks for it anew has been told so. Each failure begins it anew."""
_POLL_SECONDS = 0.02


@dataclass(slots=True)
class Resolver:
    """Turns references into snapshots. Safe to use from several threads.

    Attributes:
        store: where leases are taken: of all processes that want to know, one asks.
        memory: what is known.
        origins: whom to ask; with little patience (True) where an answer is at hand already, or none came just now.
        hook: told when an answer is stale.
        outages: of origins.
        clock: seconds since the epoch.
    """

    store: Store
    memory: Memory
    origins: Callable[[Reference, bool], Sequence[Origin]]
    hook: Hook
    outages: Outages
    clock: Callable[[], float] = time.time
    _quiet: dict[str, float] = field(default_factory=dict[str, float])
    _told: set[str] = field(default_factory=set[str])
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def resolve(
        self,
        reference: Reference,
        fresh_seconds: float,
        *,
        offline: bool,
        token: str | None,
        waits: bool = True,
        stale_if_error: bool = True,
    ) -> Snapshot:
        """Return what a reference means; see `Hub.resolve`."""
        reference = reference.whole
        if reference.hub == "local":  # looking is cheap, and the network has no part in it
            return self._ask(reference, token)
        if offline:
            self.memory.forget(reference)  # another process may have fetched more
        known = self.memory.known(reference)
        if known is not None and offline:
            return self._without_hub(reference, known)
        if known is not None and self._is_fresh(reference, known, fresh_seconds):
            return known.snapshot
        if token is None:  # what is not there for one may be there for another
            self._raise_absence(reference, fresh_seconds, known, offline=offline)
        if offline:
            what = f"{reference} is not in the store in {self.store.home}, and the network may not be asked"
            raise CacheRequiredError(
                what, subject=str(reference), hint=f"`forebay fetch {reference}` where there is one"
            )
        if known is not None and stale_if_error and self._is_quiet(reference):
            return self._without_hub(reference, known)
        return self._ask_or_remember(reference, fresh_seconds, known, token, waits=waits, stale_if_error=stale_if_error)

    def _ask_or_remember(
        self,
        reference: Reference,
        fresh_seconds: float,
        known: Remembered | None,
        token: str | None,
        *,
        waits: bool,
        stale_if_error: bool,
    ) -> Snapshot:
        lease = self._turn(reference, waits)
        with lease or nullcontext():
            self.memory.forget(reference)  # another process may have asked since we did
            known = self.memory.known(reference) or known
            if known is not None and self._is_fresh(reference, known, fresh_seconds):
                return known.snapshot
            try:
                found = self._ask(reference, token, known)
                self._set_quiet(reference, False)
                return found
            except NotFoundError as error:
                self._set_quiet(reference, False)
                if token is None:
                    self._note_absence(reference, error)
                if known is None:
                    raise
                hint = f"{error.hint}; what the store has of it can be used without the hub (--offline)"
                raise NotFoundError(error.what, subject=error.subject, hint=hint) from error
            except OriginError as error:
                self._set_quiet(reference, True)
                if known is None and token is None:
                    self._raise_absence(reference, float("inf"), None, offline=True)
                if known is None or not stale_if_error:
                    raise
                used = self.memory.standing(reference) or known.snapshot
                what = f"{error.what}; using {reference} as it was at {used.commit[:12]}"
                self.hook(Event(What.WARNING, what, facts={"stale": str(reference)}))
                return used

    def _without_hub(self, reference: Reference, known: Remembered) -> Snapshot:
        used = self.memory.standing(reference) or known.snapshot
        if used.key != known.snapshot.key and self._first_time(used):
            now = f"it means {known.snapshot.commit[:12]} by now, of which the store has too little"
            what = f"using {reference} as it was at {used.commit[:12]}: {now}; `forebay fetch {reference}` brings it"
            self.hook(Event(What.WARNING, what, facts={"stale": str(reference)}))
        return used

    def _first_time(self, used: Snapshot) -> bool:
        with self._guard:
            first = used.key not in self._told
            self._told.add(used.key)
        return first

    def _ask(self, reference: Reference, token: str | None, known: Remembered | None = None) -> Snapshot:
        def ask(origin: Origin) -> Listing:
            return origin.resolve(reference, token=token, known=None if known is None else known.snapshot)

        hasty = known is not None or self._is_quiet(reference)
        listing = first_answer(self.origins(reference, hasty), ask, self.outages)
        try:
            return self.memory.save(reference, listing, self.clock())
        except StoreError as error:
            self.hook(unkept(self.store, error))
            return listing.snapshot

    def _note_absence(self, reference: Reference, absence: NotFoundError) -> None:
        try:
            self.memory.note_absence(reference, absence, self.clock())
        except StoreError as error:
            self.hook(unkept(self.store, error))

    def _turn(self, reference: Reference, waits: bool) -> Lease | None:
        """Take the lease on asking; None: somebody else had it, and has asked now; or leases cannot be had.

        Or somebody else has it, and we must not wait for him.
        """
        if not self.store.writable:
            return None
        key = key_of("forebay.resolve/1", str(reference))
        try:
            lease = self.store.lease(key)
            while waits and lease is None and self.store.lease_progress(key) is not None:
                time.sleep(_POLL_SECONDS)
        except StoreError:
            return None  # leases are for thrift
        return lease

    def _is_fresh(self, reference: Reference, known: Remembered, fresh_seconds: float) -> bool:
        if known.snapshot.partial:
            return False
        return reference.commit is not None or -1 <= self.clock() - known.asked < fresh_seconds

    def _set_quiet(self, reference: Reference, quiet: bool) -> None:
        with self._guard:
            self._quiet[reference.hub] = self.clock() + _QUIET_SECONDS if quiet else 0.0

    def _is_quiet(self, reference: Reference) -> bool:
        with self._guard:
            return self.clock() < self._quiet.get(reference.hub, 0.0)

    def _raise_absence(
        self, reference: Reference, fresh_seconds: float, known: Remembered | None, *, offline: bool
    ) -> None:
        absence = self.memory.absence(reference)
        if absence is None or known is not None:
            return
        error, asked = absence
        if offline or -1 <= self.clock() - asked < fresh_seconds:
            raise error
