"""Memory that a thread uses again and again: pages that were touched before are several times as fast as new ones."""

from __future__ import annotations

import threading


class Scratch(threading.local):
    """Rooms of each thread's own; they go with it, or with this."""

    def __init__(self) -> None:
        self._rooms: dict[str, memoryview] = {}

    def room(self, use: str, size: int) -> memoryview:
        """Return `size` bytes of memory, the same each time in one thread for one use, with anything in them."""
        found = self._rooms.get(use)
        if found is None or len(found) < size:
            found = self._rooms[use] = memoryview(bytearray(size))
        return found[:size]
