"""Many files of one snapshot at once: the largest first, each content once, and no more room than the budget has.

What comes at the same time holds room for each whole file, and under a codec more than will be kept. So a file that
finds no room while others are under way, here or in other processes, waits until one of them is through, and tries
again; it fails when none is. Nobody waits who holds room, so somebody always goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TypeAlias

from forebay import text
from forebay.errors import StoreFullError
from forebay.events import Event, Hook, What, ignore
from forebay.hub.download import Downloader, Stopped, Wanted
from forebay.hub.snapshot import Snapshot, SnapshotFile
from forebay.types import Entry, Key, ObjectRef

Fetch: TypeAlias = Callable[[Wanted], Entry]

_THREADS_PER_WORKER = 4
_WAIT_SECONDS = (0.2, 5.0)
"""First and longest pause before room is asked for again that other processes have."""


@dataclass(slots=True)
class Crowd:
    """Fetches files for many threads that share a budget; see the module.

    Attributes:
        fetch: one file; it raises StoreFullError where there is no room.
        limit: bytes of the budget; None: there is none.
        hook: told when other processes are waited for.
    """

    fetch: Fetch
    limit: int | None
    hook: Hook = ignore
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _under_way: int = 0
    _through: int = 0
    _told: bool = False

    def get(self, wanted: Wanted) -> Entry:
        """Fetch a file; if there is no room, once more whenever another one is through.

        Raises:
            StoreFullError: there is none, and nobody is left who could have it.
            ForebayError: as `fetch`.
        """
        pause, longest = _WAIT_SECONDS
        while True:
            with self._changed:
                self._under_way += 1
                before = self._through
            through = False
            try:
                entry = self.fetch(wanted)
                through = True
                return entry
            except StoreFullError as error:
                full = error
            finally:
                self._leave(through)
            if self.limit is not None and (wanted.file.size or 0) > self.limit:
                raise full
            if self._another_came_through(before):
                continue
            if not full.on_its_way:
                raise full
            self._tell_once(full)
            if wanted.stop.wait(pause):
                raise Stopped
            pause = min(longest, 1.5 * pause)

    def _tell_once(self, full: StoreFullError) -> None:
        with self._changed:
            told, self._told = self._told, True
        if not told:
            others = f"waiting for other processes, which have {text.size(full.on_its_way)} of it on their way"
            self.hook(Event(What.WARNING, f"{full.what}; {others}"))

    def _another_came_through(self, before: int) -> bool:
        """Wait for one more than `before`; False: nobody is left who could."""
        with self._changed:
            self._changed.wait_for(lambda: self._through != before or not self._under_way)
            return self._through != before

    def _leave(self, through: bool) -> None:
        with self._changed:
            self._under_way -= 1
            self._through += through
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Together:
    """Fetches many files.

    Attributes:
        downloader: is told what is there already.
        fetch: one file.
        workers: files at a time.
        token: see `Wanted`.
    """

    downloader: Downloader
    fetch: Fetch
    workers: int
    token: str | None

    def all(
        self, snapshot: Snapshot, files: Sequence[SnapshotFile]
    ) -> tuple[dict[str, ObjectRef], BaseException | None]:
        """Fetch files of a snapshot; return the contents of those that are there, and what ended the rest, if it did.

        Raises:
            StoreFullError: the budget could never hold them; nothing is evicted for what must fail.
            KeyboardInterrupt: or what else came meanwhile.
        """
        stop = threading.Event()
        # Those whose bytes have come and wait to be published hold no slot: so many small files share one commit.
        workers = max(self.workers, 1)
        slots = threading.Semaphore(workers)
        crowd = Crowd(self.fetch, self.downloader.store.settings.max_bytes, self.downloader.hook)

        def one(same: Sequence[SnapshotFile]) -> Entry:
            wanted = [Wanted(snapshot, file, self.token, stop, slots) for file in same]
            entry = crowd.get(wanted[0])
            for each in wanted[1:]:  # of these nobody has told yet
                self.downloader.tell(each, "present", each.file.size or 0)
            return entry

        by_key: dict[Key, list[SnapshotFile]] = {}
        for file in files:  # the same bytes at several paths are one download
            by_key.setdefault(file.key, []).append(file)
        self._raise_if_too_much(snapshot, [same[0] for same in by_key.values()])
        # The largest first: the last worker is then busy for the shortest time.
        ordered = sorted(by_key.values(), key=lambda same: -(same[0].size or 0))
        failed: BaseException | None = None
        with ThreadPoolExecutor(workers * _THREADS_PER_WORKER, thread_name_prefix="forebay-fetch") as pool:
            waiting = {pool.submit(one, same): same for same in ordered}
            try:
                done, rest = wait(waiting, return_when=FIRST_EXCEPTION)
                failed = next((error for future in done if (error := future.exception()) is not None), None)
                if failed is not None or rest:
                    stop.set()
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            if failed is not None:
                pool.shutdown(wait=True, cancel_futures=True)
        contents: dict[str, ObjectRef] = {}
        for future, same in waiting.items():
            if not future.cancelled() and future.exception() is None:
                contents.update((file.path, future.result().objects[0]) for file in same)
        return contents, failed

    def _raise_if_too_much(self, snapshot: Snapshot, files: Sequence[SnapshotFile]) -> None:
        """Compare what is missing with the budget: all of it is held at the end, as it came unless there is a codec."""
        store = self.downloader.store
        limit = store.settings.max_bytes
        if limit is None or store.settings.codec != "none" or sum(file.size or 0 for file in files) <= limit:
            return
        missing = [file for file in files if self.downloader.present(snapshot, file) is None]
        size = sum(file.size or 0 for file in missing)
        if size > limit and len(missing) > 1:  # of a single file the downloader tells more
            what = f"{text.counted(len(missing), 'file')} of {snapshot.dataset} are missing, {text.size(size)} in all"
            what = f"{what}; the budget of {store.home} is {text.size(limit)}"
            raise StoreFullError(what, subject=snapshot.dataset, hint="raise max_bytes, or fetch a part of them")
