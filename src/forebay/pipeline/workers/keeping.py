"""A run's own results, spared by eviction: what it has found or makes it will read again.

Holding costs a small file each time, so it begins when the store, in its budget or on the disk, has less room than
bytes. Where all that is left is held, the store is full: the run is told so once, and goes on in its scratch folder.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

from forebay.errors import StoreError
from forebay.types import Key

if TYPE_CHECKING:
    from forebay.store import Store

Named: TypeAlias = "tuple[str, Key]"
"""Kind and key of an entry."""

_TOGETHER = 8
"""So many holds become one: each eviction looks at all of them."""


class Keeper:
    """Holds the entries that a run needs, in each of its processes those which that one found or makes.

    Safe to use from two threads; a forked process begins anew, as what it inherits its parent holds.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store if store is not None and store.writable else None
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._known: set[Named] = set()
        self._found: list[Named] = []
        self._levels: list[list[tuple[ExitStack, list[Named]]]] = []

    def found(self, kind: str, key: Key) -> None:
        """Note an entry that was found; `keep` holds it."""
        if self._store is not None:
            if self._pid != os.getpid():
                self._begin()
            self._found.append((kind, key))

    def keep(self, made: Iterable[Named] = ()) -> None:
        """Hold what was found since the last time, and what is about to be published, if the store is nearly full."""
        if self._store is None:
            return
        with self._lock:
            if self._pid != os.getpid():
                self._begin()
            self._found.extend(made)
            try:
                if not self._levels and self._store.room() > self._store.bytes_at_rest():
                    return
                found, self._found = self._found, []
                new = [one for one in dict.fromkeys(found) if one not in self._known]
                self._known.update(new)
                if new:
                    self._hold(self._store, 0, new)
            except StoreError:
                self._store = None  # a store that fails is told of where it matters

    def close(self) -> None:
        """Hold nothing any more."""
        if self._pid == os.getpid():
            for level in self._levels:
                for stack, _ in level:
                    stack.close()
            self._begin()

    def _hold(self, store: Store, number: int, entries: list[Named]) -> None:
        """Hold entries; several holds of a level become one of the next, so that there are few."""
        if number == len(self._levels):
            self._levels.append([])
        level = self._levels[number]
        stack = ExitStack()
        stack.enter_context(store.reading(entries))
        level.append((stack, entries))
        if len(level) == _TOGETHER:
            self._hold(store, number + 1, [one for _, part in level for one in part])
            for old, _ in level:
                old.close()
            level.clear()
