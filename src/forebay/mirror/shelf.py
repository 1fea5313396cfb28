"""Prepared Arrow for the one program that a mirror was started for: `forebay exec`.

Each `load_dataset` of a dataset on a hub reads its card again, and a card with many configurations takes the library a
third of a second to parse. Where all of such a dataset is prepared, its configurations are laid into the program's
cache, and the library is told to take them from there: it asks for a loading script (``mmlu.py``) before all else, and
when that question, unlike any other, is answered with "no such repository", it looks into its cache.

That must not happen to a program which loads files of its choice (``data_files=``), for these are not in the cache.
Such loads leave other folders in the cache than the dataset's configurations. So the first load is left alone, and only
what it has left there says that the program loads whole configurations.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from forebay.errors import ForebayError
from forebay.hub import Hub, Snapshot
from forebay.hub.arrowview import cached_name, lay_one
from forebay.hub.covering import Cover, cover, make_cover
from forebay.hub.placing import Placer
from forebay.mirror.caches import home_of, lay_results

LARGE_CARD_BYTES = 16 * 2**10
"""A smaller card is parsed in less time than it takes to notice."""
_MOST_PREPARED_BYTES = 2**29
"""Larger datasets are prepared by their owner's wish alone (`forebay view datasets`)."""
_PATIENCE_SECONDS = 60.0
"""So long a program waits for its dataset to be prepared; clients under `forebay exec` wait for 120 s."""
_MANY_LOADS = 8
"""A program that has loaded fewer configurations than that gains less than it would cost to prepare them meanwhile."""


@dataclass(slots=True)
class _Place:
    """What is known of one dataset.

    Attributes:
        guard: held while it is laid.
        ids: by which it was asked for.
        commit, cover: what is laid; "" and None: nothing.
        laid: the ids that it is laid for.
        given_up: it has been asked for at two commits, or cannot be laid.
        ready: set once it has been tried to prepare it; None: nobody has.
    """

    guard: threading.Lock = field(default_factory=threading.Lock)
    ids: set[str] = field(default_factory=set[str])
    commit: str = ""
    cover: Cover | None = None
    laid: set[str] = field(default_factory=set[str])
    given_up: bool = False
    ready: threading.Event | None = None


class Shelf:
    """Lays prepared configurations into a program's cache of datasets. Safe over threads.

    Args:
        hub: the store.
        folder: the program's HF_DATASETS_CACHE, its own as long as it runs.
        kept: where datasets that are not laid are kept beyond that; None: nowhere.
        offline: whether what the store does not hold cannot be loaded anyway. Else only a dataset is laid of which all
            is prepared.
        waits: prepare what is not, fetching for it if not `offline`, while the load waits. Else it is prepared of what
            the store holds while loads go on as ever, for those that follow, and for the next run.
        warn: told what cannot be prepared.
    """

    def __init__(
        self,
        hub: Hub,
        folder: Path,
        *,
        kept: Path | None,
        offline: bool,
        waits: bool = True,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self._hub, self._folder, self._kept = hub, folder, kept
        self._offline, self._waits, self._warn = offline, waits, warn
        self._guard = threading.Lock()
        self._places: dict[str, _Place] = {}
        self._holds = ExitStack()
        self.loads = 0
        """How many loads were sent to the cache."""

    def close(self) -> None:
        """Let the store evict again what was laid."""
        self._warn = None  # what is still being prepared comes to nothing, and nobody minds
        self._holds.close()

    def renamed(self, asked: str, now: str) -> None:
        """Note another id for a dataset: the library looks for the one that its caller has written."""
        self._place(now).ids.add(asked)

    def takes(self, snapshot: Snapshot, version: str = "") -> bool:
        """Tell whether a load of a dataset can be answered by the program's cache; lay it there if so.

        Args:
            snapshot: what is loaded.
            version: of the library that loads it; "": not known.
        """
        place = self._place(snapshot.id)
        card = snapshot.get("README.md")
        with place.guard:
            if not place.laid:
                for id in sorted(place.ids):  # noqa: A001 - the hubs' own word
                    self._link(id, version)
            fits = card is not None and (card.size or 0) >= LARGE_CARD_BYTES and self._fits(place, snapshot)
        if fits:
            with self._guard:
                self.loads += 1
        return fits

    def _place(self, id: str) -> _Place:  # noqa: A002 - the hubs' own word
        with self._guard:
            place = self._places.setdefault(id, _Place())
            place.ids.add(id)
            return place

    def _fits(self, place: _Place, snapshot: Snapshot) -> bool:
        if place.commit not in ("", snapshot.commit):
            place.given_up = True  # of two commits in its cache, the library would take either
        if place.given_up:
            return False
        if place.cover is None:
            seen = self._seen(place)
            found = self._covered(place, snapshot, seen) if seen else None
            if found is None or not seen <= found.names:
                return False
            place.cover, place.commit = found, snapshot.commit
        return self._laid(place, place.cover, snapshot)

    def _seen(self, place: _Place) -> set[str]:
        """Return what the program has left in its cache of a dataset: folders named for what it loaded."""
        found: set[str] = set()
        for id in place.ids:  # noqa: A001
            root = self._root(id)
            found |= {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()
        return found

    def _covered(self, place: _Place, snapshot: Snapshot, seen: set[str]) -> Cover | None:
        """Return what is prepared, if it is all that can be loaded."""
        if place.ready is not None and not place.ready.is_set():
            return None  # it is being prepared, and looking at what there is takes longer than a load
        found = cover(self._hub, snapshot)
        if (found is None or not found.held) and place.ready is None:
            if sum(file.size or 0 for file in snapshot.files) > _MOST_PREPARED_BYTES:
                place.given_up = True
                return None
            if not self._waits and len(seen) < _MANY_LOADS:
                return None
            place.ready = self._prepare(snapshot)
            if not self._waits or not place.ready.wait(_PATIENCE_SECONDS):
                return None
            found = cover(self._hub, snapshot)
        if found is not None and (found.held if self._offline else found.whole):
            return found
        place.given_up = True
        return None

    def _prepare(self, snapshot: Snapshot) -> threading.Event:
        """Begin to prepare; return what is set once that is done, or failed."""
        ready = threading.Event()
        fetches = self._waits and not self._offline and not snapshot.restricted

        def work() -> None:
            try:
                make_cover(self._hub, snapshot, offline=not fetches)
            except (ForebayError, OSError) as error:
                if self._waits:
                    self._told(f"not prepared, read through the mirror: {error}")
            finally:
                ready.set()

        threading.Thread(target=work, name=f"prepare-{snapshot.key[:8]}", daemon=True).start()
        return ready

    def _laid(self, place: _Place, found: Cover, snapshot: Snapshot) -> bool:
        """Lay what is not laid yet; return whether all is."""
        store = self._hub.store
        placer = Placer(store, "symlink")
        try:
            for id in place.ids - place.laid:  # noqa: A001
                if not place.laid:
                    self._holds.enter_context(
                        store.reading([(one.entry.kind, one.entry.key) for one in found.prepared])
                    )
                self._unlink(id)
                for one in found.prepared:
                    lay_one(store, placer, self._folder, (id, snapshot.commit, True), one)
                if self._kept is not None:
                    (self._kept / cached_name(id)).mkdir(parents=True, exist_ok=True)
                    lay_results(self._folder, self._kept, cached_name(id))
                place.laid.add(id)
        except (ForebayError, OSError) as error:
            place.given_up = True
            self._told(f"{snapshot.dataset} cannot be laid out, read through the mirror: {error}")
            return False
        return True

    def _told(self, text: str) -> None:
        if self._warn is not None:
            self._warn(text)

    # The program's cache: what is not laid there lies where it always did

    def _root(self, id: str) -> Path:  # noqa: A002
        return self._folder / cached_name(id)

    def _link(self, id: str, version: str) -> None:  # noqa: A002
        if self._kept is None:
            return
        name = cached_name(id)
        home, link = home_of(self._kept, name, version), self._folder / name
        try:
            home.mkdir(parents=True, exist_ok=True)
            if link.is_symlink() and link.readlink() != home:
                link.unlink()
            link.symlink_to(home)
        except OSError:
            pass  # it is there already; or it is not kept

    def _unlink(self, id: str) -> None:  # noqa: A002
        if self._root(id).is_symlink():
            self._root(id).unlink()
