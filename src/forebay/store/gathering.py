"""Files that gather in the store's folder before they become objects: what they take, and their end.

::

    partials-v1/<key>/…          bytes of one file that is being downloaded, under the lease of that key

Who gathers knows what the files mean; the store knows only how large they are, when they were last written to, and that
none may go whose lease is held. Against the budget counts what lies there or, as long as its owner has an `Allotment`,
what was set apart for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.io import Filesystem, LeaseFolder
from forebay.store.layout import Layout
from forebay.types import Key, is_hex64

if TYPE_CHECKING:
    import sqlite3

ALLOTTED = ".partial"
"""Stands for the kind of an entry in the intents of those who gather; no entry can have it."""
KEPT_SECONDS = 7 * 86_400.0
"""What nobody has gone on with for so long goes."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """One of them.

    Attributes:
        key: whose lease is held while it grows.
        bytes: at rest.
        written: when something was last written to it, in seconds since the epoch.
    """

    key: Key
    bytes: int
    written: float


class Gathering:
    """All of them."""

    def __init__(self, fs: Filesystem, layout: Layout, leases: LeaseFolder) -> None:
        self._fs = fs
        self._folder = layout.partials
        self._leases = leases

    def found(self) -> list[Gathered]:
        """Return what there is, the one that was written to least lately first."""
        made: list[Gathered] = []
        for name, is_dir in self._scan(self._folder):
            if is_dir and is_hex64(name):
                folder = self._folder / name
                sizes, times = zip(*self._stats(folder), strict=True)
                made.append(Gathered(Key(name), sum(sizes), max(times)))
        return sorted(made, key=lambda each: (each.written, each.key))

    def uncounted(self, db: sqlite3.Connection, besides: Collection[str] = ()) -> int:
        """Return the bytes at rest of those which nothing is set apart for in the books.

        Args:
            db: the index.
            besides: keys of some that are not asked about either.
        """
        found = self.found()
        if not found:
            return 0
        allotted = {key for (key,) in db.execute("SELECT key FROM intents WHERE kind = ?", (ALLOTTED,))}
        return sum(each.bytes for each in found if each.key not in allotted and each.key not in besides)

    def make_room(self, size: int) -> int:
        """Remove such as nobody is at, the oldest first, until `size` bytes are free; return how many are."""
        going = self.going(self.found(), size, 0.0)
        return sum(each.bytes for each in going if self.remove(each.key))

    def going(self, found: list[Gathered], over: int, written_before: float) -> list[Gathered]:
        """Return which would go: the old ones, and further ones until so many bytes are free; none under way."""
        chosen: list[Gathered] = []
        for each in found:
            if (over > 0 or each.written < written_before) and self._leases.progress(each.key) is None:
                chosen.append(each)
                over -= each.bytes
        return chosen

    def remove(self, key: Key) -> bool:
        """Remove one, unless somebody is at it; tell whether it went."""
        lease = self._leases.acquire(key)
        if lease is None:
            return False
        with lease:
            folder = self._folder / key
            try:
                for name, _ in list(self._scan(folder)):
                    self._fs.unlink(folder / name)
                self._fs.remove_dir(folder)
            except OSError:
                return False  # a late owner still writes there: another time
        return True

    def _stats(self, folder: Path) -> Iterator[tuple[int, float]]:
        yield 0, 0.0
        for path, counts in ((folder, False), *((folder / name, True) for name, _ in self._scan(folder))):
            try:
                stat = self._fs.stat(path)
            except OSError:
                continue  # published just now
            yield (stat.size if counts else 0), stat.mtime_ns / 1e9

    def _scan(self, folder: Path) -> list[tuple[str, bool]]:
        try:
            return list(self._fs.scan(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
