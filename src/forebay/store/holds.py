"""Holds: reasons not to evict. Pins are for ever, readers for as long as their process shows a heartbeat."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forebay.errors import InputError, NotFoundError
from forebay.io import HEART, Filesystem, ProcessName
from forebay.store.files import Files
from forebay.store.layout import Layout, check_hex, check_kind
from forebay.types import Digest, Entry, Key

_BEATS_PER_LEASE = 4


@dataclass(frozen=True, slots=True)
class Pin:
    """An entry that is kept for ever, why, and since when (seconds since the epoch)."""

    kind: str
    key: Key
    note: str
    created: float


@dataclass(frozen=True, slots=True)
class Held:
    """What may not be evicted now."""

    entries: frozenset[tuple[str, str]]
    objects: frozenset[str]


class Holds:
    """The pins and readers of a store."""

    def __init__(self, fs: Filesystem, layout: Layout, files: Files, *, lease_seconds: float, writable: bool) -> None:
        self._fs = fs
        self._layout = layout
        self._files = files
        self._lease_seconds = lease_seconds
        self._writable = writable

    def pin(self, entry: Entry | None, kind: str, key: Key, note: str) -> None:
        """Keep an entry for ever.

        Raises:
            NotFoundError: there is no such entry.
        """
        if entry is None:
            raise NotFoundError(f"no entry {kind} {key}", subject=key, hint="`forebay ls` shows what there is")
        content = {"created": self._fs.now(), "note": note}
        self._files.replace(self._pin_path(kind, key), content)

    def unpin(self, kind: str, key: Key) -> bool:
        """Keep it no longer; tell whether it was pinned."""
        return self._files.remove(self._pin_path(kind, key))

    def pins(self) -> list[Pin]:
        """Return all pins, the oldest first."""
        found: list[Pin] = []
        for kind, key in self._pinned():
            value = self._files.load(self._pin_path(kind, key)) or {}
            note, created = value.get("note"), value.get("created")
            found.append(
                Pin(kind, key, note if isinstance(note, str) else "", created if isinstance(created, float) else 0.0)
            )
        return sorted(found, key=lambda pin: (pin.created, pin.kind, pin.key))

    def pinned(self) -> frozenset[tuple[str, str]]:
        """Return which entries are pinned."""
        return frozenset(self._pinned())

    def held(self) -> Held:
        """Return what pins and live readers hold; dead readers' files are removed in passing."""
        entries: set[tuple[str, str]] = set(self._pinned())
        objects: set[str] = set()
        for name in self._files.names(self._layout.readers):
            value = self._reader(self._layout.readers / name)
            if value is not None:
                entries.update((str(pair[0]), str(pair[1])) for pair in value["entries"])
                objects.update(str(digest) for digest in value["objects"])
        return Held(frozenset(entries), frozenset(objects))

    @contextmanager
    def reading(self, token: str, entries: Sequence[tuple[str, Key]], found: Iterable[Entry | None]) -> Generator[None]:
        """Hold entries, and the objects of those that were found, while the block runs."""
        objects = {ref.digest for entry in found if entry is not None for ref in entry.objects}
        hold = self.hold(token, entries, sorted(objects))
        try:
            yield
        finally:
            hold.close()

    def hold(self, token: str, entries: Iterable[tuple[str, Key]], objects: Iterable[Digest]) -> ReaderHold:
        """Hold entries and objects until the result is closed, or this process dies."""
        path = self._layout.readers / f"{token}.json"
        content = {
            "process": ProcessName.mine().to_json(),
            "entries": [list(pair) for pair in entries],
            "objects": list(objects),
        }
        self._files.replace(path, content)
        return ReaderHold(self._fs, path, self._lease_seconds / _BEATS_PER_LEASE)

    def _pinned(self) -> list[tuple[str, Key]]:
        found: list[tuple[str, Key]] = []
        for name in self._files.names(self._layout.pins):
            kind, _, rest = name.rpartition("-")
            try:
                check_kind(kind)
                check_hex(rest.removesuffix(".json"), "key")
            except InputError:
                continue  # a stranger's file
            found.append((kind, Key(rest.removesuffix(".json"))))
        return found

    def _pin_path(self, kind: str, key: Key) -> Path:
        check_kind(kind)
        check_hex(key, "key")
        return self._layout.pins / f"{kind}-{key}.json"

    def _reader(self, path: Path) -> dict[str, Any] | None:
        value = self._files.load(path)
        if value is None:
            return None
        process = ProcessName.from_json(value.get("process", {}))
        try:
            idle = self._fs.now() - self._fs.stat(path).mtime_ns / 1e9
        except FileNotFoundError:  # closed meanwhile
            return None
        gone = process is not None and process.is_gone()
        # A machine whose clock is off by more than this from the disk's would be seen too early; hence the margin.
        if gone or idle > max(60.0, 6 * self._lease_seconds):
            if self._writable:
                self._files.remove(path, durable=False)
            return None
        return value if isinstance(value.get("entries"), list) and isinstance(value.get("objects"), list) else None


class ReaderHold:
    """A live reader's hold; beats until it is closed."""

    __slots__ = ("__weakref__", "_fs", "_path", "_pid", "beat_seconds")

    def __init__(self, fs: Filesystem, path: Path, beat_seconds: float) -> None:
        self._fs = fs
        self._path = path
        self._pid = os.getpid()
        self.beat_seconds = beat_seconds
        HEART.add(self)

    def beat(self) -> None:
        """Show that the reader is there: what the heart calls."""
        try:
            self._fs.touch(self._path)
        except OSError:
            pass  # a failing disk, or somebody took us for dead: reading goes on, eviction may hit us

    def close(self) -> None:
        """Hold no longer. In a forked child it does nothing: the parent holds."""
        if self._pid != os.getpid():
            return
        HEART.remove(self)
        try:
            self._fs.unlink(self._path)
        except OSError:
            pass  # it looks dead soon
