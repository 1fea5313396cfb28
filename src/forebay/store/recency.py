"""When entries were last used: noted in memory, written in batches, never on the path of a hit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

_EVERY_SECONDS = 60.0
_MANY = 8192


class Recency:
    """Collects uses and hands them on, once a minute or when they are many, from a short-lived thread.

    Args:
        write: writes {(kind, key): seconds since the epoch}; may raise nothing.
        now: the clock.
    """

    def __init__(self, write: Callable[[Mapping[tuple[str, str], float]], None], now: Callable[[], float]) -> None:
        self._write = write
        self._now = now
        self._used: dict[tuple[str, str], float] = {}
        self._since = time.monotonic()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def note(self, kind: str, key: str) -> None:
        """Note that an entry was used now."""
        used = self._used
        used[kind, key] = self._now()
        if len(used) >= _MANY or time.monotonic() - self._since > _EVERY_SECONDS:
            self._hand_on()

    def take(self) -> Mapping[tuple[str, str], float]:
        """Return what was noted and not yet written; the caller writes it."""
        if self._pid != os.getpid():  # a forked child: the parent writes what it noted
            self._pid, self._thread = os.getpid(), None
            self._used = {}
        used, self._used = self._used, {}
        self._since = time.monotonic()
        return used

    def close(self) -> None:
        """Wait for the thread, and write what is left."""
        thread = self._thread
        if thread is not None and self._pid == os.getpid():
            thread.join()
        used = self.take()
        if used:
            self._write(used)

    def _hand_on(self) -> None:
        if self._thread is not None and self._pid == os.getpid() and self._thread.is_alive():
            return
        used = self.take()
        if used:
            self._thread = threading.Thread(target=self._write, args=(used,), name="forebay-recency", daemon=True)
            self._thread.start()
