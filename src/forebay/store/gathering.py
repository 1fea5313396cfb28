"""Files that gather in the store's folder before they become objects: what they take, and their end.

::

    partials-v1/<key>/…          bytes of one file that is being downloaded, under the lease of that key

Who gathers knows what the files mean; the store knows only how large they are, when they were last written to, and that
none may go whose lease is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forebay.io import Filesystem, LeaseFolder
from forebay.store.layout import Layout
from forebay.types import Key, is_hex64

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

    def bytes(self) -> int:
        """Return what they take at rest."""
        return sum(each.bytes for each in self.found())

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
