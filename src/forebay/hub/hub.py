"""The hub: from a reference to bytes in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType

from forebay import config
from forebay.config import HubSettings
from forebay.errors import AccessError, CacheRequiredError, NotFoundError, StoreReadOnlyError
from forebay.events import Event, Hook, What, ignore
from forebay.hub.cards import README, configured
from forebay.hub.chain import Outages, first_answer
from forebay.hub.download import Downloader, Wanted
from forebay.hub.given import Given
from forebay.hub.http import Transport, Waits
from forebay.hub.memory import Memory
from forebay.hub.origin import Origin
from forebay.hub.origins import by_hub
from forebay.hub.partial import Partials
from forebay.hub.passing import Passing
from forebay.hub.reference import HubName, Reference, parse
from forebay.hub.resolving import Resolver
from forebay.hub.snapshot import FILE, SNAPSHOT, Snapshot, SnapshotFile, content_role
from forebay.hub.streaming import Flights, whole
from forebay.hub.together import Together
from forebay.hub.vouching import place
from forebay.io import Filesystem, LocalFilesystem, ProcessName, Room
from forebay.store import Store
from forebay.store.files import GROUP_DIR_MODE
from forebay.types import JSON, Entry, ObjectRef

_HASTY_ATTEMPTS = 2
_ABANDONED_SECONDS = 7 * 86400.0
"""A partial that nobody has touched for so long goes."""


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What to fetch of a snapshot, and how.

    Attributes:
        include: shell patterns or folders; none: all files.
        exclude: likewise, and stronger.
        workers: files at a time.
        offline: ask nobody: what is not in the store is an error.
        token: instead of the configured one; "" is none at all.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    workers: int = 8
    offline: bool = False
    token: str | None = None


class Hub:
    """Fetches datasets and models into a store. Safe to use from several threads.

    ::

        with Store.open() as store, Hub(store) as hub:
            snapshot = hub.fetch("hf://datasets/Rowan/hellaswag")
            content = hub.read(snapshot, "data/train-00000-of-00001.parquet")

    Args:
        store: where to.
        settings: endpoints and tokens; None: as environment and configuration file say.
        hook: told FETCH (bytes over the network), PROGRESS, WAIT, WARNING (stale answers, mirrors that fail or lie).
        origins: stands in for those of the settings, by hub.
        fs: the store's file system; None: this machine's.
        waits: between attempts.
        transport: sends requests, with the same settings; it outlives this, and its connections are used again.
    """

    def __init__(
        self,
        store: Store,
        settings: HubSettings | None = None,
        hook: Hook = ignore,
        *,
        origins: Mapping[HubName, Sequence[Origin]] | None = None,
        fs: Filesystem | None = None,
        waits: Waits | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.store = store
        self.settings = settings or config.resolve_hub()
        self._hook = hook
        self._fs = fs or LocalFilesystem(exact_modes=store.settings.group)
        self._own_transport = transport is None
        self._transport = transport or Transport(self.settings, waits, hook)
        hasty = replace(self.settings, attempts=min(_HASTY_ATTEMPTS, self.settings.attempts))
        self._hasty_transport = Transport(hasty, waits, hook)
        self._origins = {**by_hub(self._transport, store.file_memo), **(origins or {})}
        self._hasty = {**by_hub(self._hasty_transport, store.file_memo), **(origins or {})}
        self._memory = Memory(store)
        self._outages = Outages(hook)
        self._resolver = Resolver(store, self._memory, self._for_reference, hook, self._outages)
        self.partials = Partials(self._fs, store.home, dir_mode=GROUP_DIR_MODE if store.settings.group else 0o777)
        self._downloader = Downloader(
            store,
            origins=lambda snapshot: self._origins[snapshot.hub],
            named=self._memory.content,
            partials=self.partials,
            room=Room(self._fs, store.home, min_free_bytes=store.settings.min_free_bytes),
            attempts=self.settings.attempts,
            patience=self._transport.patience,
            hook=hook,
            outages=self._outages,
        )
        self._flights = Flights(self._downloader)

    def close(self) -> None:
        """Stop downloads that readers have started, and close connections."""
        self._flights.close()
        if self._own_transport:
            self._transport.close()
        self._hasty_transport.close()

    def end(self) -> None:
        """Ask hubs nothing any more, and cut what is under way, so that nobody goes on waiting for one that hangs."""
        for transport in (self._transport, self._hasty_transport):
            transport.end()

    def load(self) -> None:
        """Load what the first question to a hub needs; raises ConfigError where certificates cannot be read."""
        for transport in (self._transport, self._hasty_transport):
            transport.load()

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # What is there

    def resolve(
        self,
        reference: str | Path | Reference,
        *,
        fresh_seconds: float | None = None,
        offline: bool = False,
        token: str | None = None,
        waits: bool = True,
        stale_if_error: bool = True,
    ) -> Snapshot:
        """Return what a reference means now.

        A commit is never asked for twice; a branch when its last answer is older than `fresh_seconds`. If the hub
        cannot be reached, the last known answer is given, with a warning.

        Args:
            reference: see `parse`.
            fresh_seconds: None: as the settings say.
            offline: ask nobody.
            token: instead of the configured one; "" is none at all.
            waits: while another process asks the same; False for who may wait for us, and ask in its turn.
            stale_if_error: whether the last known answer will do where the hub cannot be reached.

        Raises:
            InputError: it is no reference.
            NotFoundError: the hub does not have it.
            AccessError: the hub does not give it to this account.
            OriginError: no endpoint can be reached, and the store does not know it, or its answer will not do.
            CacheRequiredError: offline, and the store does not know it.
        """
        seconds = self.settings.fresh_seconds if fresh_seconds is None else fresh_seconds
        offline = offline or self.settings.offline
        return self._resolver.resolve(
            parse(reference), seconds, offline=offline, token=token, waits=waits, stale_if_error=stale_if_error
        )

    def known(self, reference: str | Reference) -> Snapshot | None:
        """Return what a reference stands for while nobody is asked."""
        return self._memory.standing(parse(reference).whole)

    def revisions(self, snapshot: Snapshot, *, offline: bool = False) -> dict[str, str]:
        """Return the branches and tags of a snapshot's repository that were asked for -> the commits they mean."""
        return self._memory.revisions(snapshot, offline=offline)

    def asked(self, reference: str | Reference) -> float | None:
        """Return when a hub was last asked for a reference, in seconds since the epoch; None: never."""
        found = self._memory.known(parse(reference).whole)
        return found.asked if found is not None else None

    def info(self, snapshot: Snapshot) -> Mapping[str, JSON]:
        """Return the hub's own answer about the repository, as it was when the commit was first seen, without Xet."""
        return self._memory.info(snapshot)

    @property
    def requests(self) -> int:
        """How many requests were sent to origins so far."""
        return self._transport.requests + self._hasty_transport.requests

    def may_read(self, snapshot: Snapshot, token: str) -> bool:
        """Ask the hub whether an account may have the bytes of a snapshot: one file, the smallest, is asked for.

        Raises:
            OriginError: no endpoint can be reached.
        """
        if not snapshot.files:
            return False
        file = min(snapshot.files, key=lambda each: each.size or 0)

        def ask(origin: Origin) -> bool:
            with origin.read(snapshot, file, 0, "", token=token):
                return True

        try:
            return first_answer(self._hasty[snapshot.hub], ask, self._outages)
        except (AccessError, NotFoundError):
            return False

    # Bytes

    def file(self, snapshot: Snapshot, path: str) -> Entry | None:
        """Return the entry of a file if the store holds its bytes; its one object is the content.

        Raises:
            NotFoundError: the snapshot has no such file.
        """
        return self._downloader.present(snapshot, snapshot.file(path))

    def fetch_file(self, snapshot: Snapshot, path: str, *, token: str | None = None, offline: bool = False) -> Entry:
        """Return the entry of a file, fetching it where the store does not hold it.

        Raises:
            WrongBytesError: all mirrors send something else; nothing is kept.
            OriginError: none can be reached; what has come is kept for the next attempt.
            NotFoundError, AccessError: an origin refuses it.
            StoreError: it cannot be kept.
            CacheRequiredError: offline, and it is not there.
        """
        wanted = Wanted(snapshot, snapshot.file(path), token)
        if offline or self.settings.offline:
            return self._present(wanted)
        return self._downloader.fetch(wanted)

    def read(self, snapshot: Snapshot, path: str, *, token: str | None = None, offline: bool = False) -> memoryview:
        """Return a file's bytes, fetching it where the store does not hold it."""
        return self.store.read(self.fetch_file(snapshot, path, token=token, offline=offline).objects[0].digest)

    def stream(
        self,
        snapshot: Snapshot,
        path: str,
        start: int = 0,
        end: int | None = None,
        *,
        token: str | None = None,
        given: Given | None = None,
    ) -> Iterator[bytes]:
        """Return a file's bytes from `start` to `end` as they come, whoever downloads them.

        The first ones have come when this returns, so that a refusal is raised here. The last one is given out only
        when the whole file has been checked: a stream that ends without an error is right. Bytes given out earlier can
        turn out to be wrong; then it ends with an error, and whoever has them must begin anew. After the last byte of
        a long file (128 MiB) it goes on until that is kept, and ends with a `StoreError` where it cannot be.

        Args:
            given: takes note of what is given out while the file is fetched; it begins at `start`.

        Raises:
            WrongBytesError, OriginError, NotFoundError, AccessError, StoreError: as `fetch_file`, here or later.
        """
        file = snapshot.file(path)
        entry = self._downloader.present(snapshot, file)
        if entry is not None:
            return whole(self.store.read(entry.objects[0].digest), start, end)
        if self.settings.offline:
            self._present(Wanted(snapshot, file, token))
        return self._flights.read(Wanted(snapshot, file, token), given or Given(start), end)

    def through(
        self, snapshot: Snapshot, path: str, start: int = 0, end: int | None = None, *, token: str | None = None
    ) -> Iterator[bytes]:
        """Return bytes as `stream` does, but keep nothing: for a store that cannot. See `passing` for what is checked.

        Raises:
            WrongBytesError, OriginError, NotFoundError, AccessError: as `fetch_file`, here or later.
        """
        file, settings = snapshot.file(path), self.settings
        if settings.offline:
            self._present(Wanted(snapshot, file, token))
        spoil = partial(self._downloader.spoiled.update, [file.key])
        origins, patience = self._origins[snapshot.hub], self._transport.patience
        return Passing(origins, snapshot, file, token, settings.attempts, patience, spoil).chunks(start, end)

    def fetched_by_another(self, snapshot: Snapshot, path: str) -> bool:
        """Tell whether another process fetches a file into this store just now."""
        progress, me = self.store.lease_progress(place(snapshot, snapshot.file(path).key)), ProcessName.mine()
        return progress is not None and (progress.host, progress.pid) != (me.host, me.pid)

    def spoiled(self, file: SnapshotFile) -> int:
        """Return how often bytes of a file that were given out turned out to be wrong, in this process.

        Whoever goes on from the middle of such a file may hold a wrong beginning, and must be given all of it.
        """
        return self._downloader.spoiled[file.key]

    def fetch(self, what: str | Path | Reference | Snapshot, options: FetchOptions | None = None) -> Snapshot:
        """Fetch all files of a snapshot, or those that the options and the reference's path and configuration choose.

        Afterwards the snapshot's entry names their contents, so that a pin or a bundle of it takes them along.

        Raises:
            NotFoundError: the dataset has no such configuration.
            ForebayError: as `resolve` and `fetch_file`; the first file that fails ends the rest.
        """
        options = options or FetchOptions()
        offline = options.offline or self.settings.offline
        snapshot, files = self.choose(what, options)
        facts: dict[str, JSON] = {"phase": "snapshot", "dataset": snapshot.dataset, "commit": snapshot.commit}
        facts |= {"files": len(files), "bytes": sum(file.size or 0 for file in files)}
        self._hook(Event(What.PROGRESS, f"fetching {snapshot.dataset}", snapshot.key, SNAPSHOT, facts=facts))
        if self._is_whole(snapshot, files):
            for file in files:
                self._downloader.tell(Wanted(snapshot, file), "present", file.size or 0)
            return snapshot
        if self.store.writable and not offline:
            self.partials.sweep(_ABANDONED_SECONDS, lambda key: self.store.lease_progress(key) is not None)
        held = [(FILE, file.key) for file in files]
        with self.store.reading([*held, (SNAPSHOT, snapshot.key)]):
            self._fetch_all(snapshot, files, options, offline=offline)
        return snapshot

    def choose(
        self, what: str | Path | Reference | Snapshot, options: FetchOptions
    ) -> tuple[Snapshot, Sequence[SnapshotFile]]:
        """Return what a reference means now and the files that `fetch` brings; it raises what that does."""
        if isinstance(what, Snapshot):
            return what, what.chosen(options.include, options.exclude)
        offline, reference = options.offline or self.settings.offline, parse(what)
        snapshot = self.resolve(reference, offline=offline, token=options.token)
        files = snapshot.chosen(options.include, options.exclude, reference.path)
        if not reference.config:
            return snapshot, files
        wanted = configured(
            snapshot, reference, lambda: self.read(snapshot, README, token=options.token, offline=offline)
        )
        return snapshot, [file for file in files if wanted is None or file.path in wanted]

    def gather(self, snapshot: Snapshot) -> Entry:
        """Let the snapshot's entry name the contents of all its files that the store holds, and return it.

        `fetch` does this by itself; it is for what came file by file, through `fetch_file` or `stream`.
        """
        found = ((file, self._downloader.present(snapshot, file)) for file in snapshot.files)
        return self._memory.gather(snapshot, {file.path: entry.objects[0] for file, entry in found if entry})

    # Inside

    def _fetch_all(
        self, snapshot: Snapshot, files: Sequence[SnapshotFile], options: FetchOptions, *, offline: bool
    ) -> None:
        def present(wanted: Wanted) -> Entry:
            entry = self._present(wanted)
            self._downloader.tell(wanted, "present", wanted.file.size or 0)
            return entry

        fetch = present if offline else self._downloader.fetch
        together = Together(self._downloader, fetch, options.workers, options.token)
        contents, failed = together.all(snapshot, files)
        if contents:
            self._gather_quietly(snapshot, contents)
        if failed is not None:
            raise failed

    def _gather_quietly(self, snapshot: Snapshot, contents: Mapping[str, ObjectRef]) -> None:
        try:
            self._memory.gather(snapshot, contents)
        except StoreReadOnlyError:
            pass  # all was there already; the entry of who fetched it names it

    def _present(self, wanted: Wanted) -> Entry:
        entry = self._downloader.present(wanted.snapshot, wanted.file)
        if entry is not None:
            return entry
        what = f"{wanted.file.path} of {wanted.snapshot.dataset} is not in the store, and the network may not be asked"
        hint = f"`forebay fetch {wanted.snapshot.reference}` where there is one"
        raise CacheRequiredError(what, subject=wanted.file.path, hint=hint)

    def _is_whole(self, snapshot: Snapshot, files: Iterable[SnapshotFile]) -> bool:
        """Tell whether the snapshot's entry names the contents of all files, and they are there."""
        entry = self._memory.entry(snapshot)
        if entry is None:
            return False
        roles = {ref.role for ref in entry.objects}
        return all(content_role(file.path) in roles for file in files) and self.store.complete(entry)

    def _for_reference(self, reference: Reference, hasty: bool) -> Sequence[Origin]:
        return (self._hasty if hasty else self._origins)[reference.hub]
