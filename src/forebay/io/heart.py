"""One daemon thread per process that keeps alive what must show a heartbeat: leases, readers' holds.

The thread starts with the first thing to beat for, ends by itself soon after the last, and is not there in a forked
child: a child starts with nothing to beat for.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Protocol
from weakref import WeakKeyDictionary

_LINGER_SECONDS = 0.05
"""How long the thread waits for new work before it ends: short leases in a row then share one thread."""


_LOOK_SECONDS = 1.0
"""How often the thread looks whether all was collected that it beats for."""


class Beating(Protocol):
    """Something that must show that its process is alive."""

    @property
    def beat_seconds(self) -> float:
        """How often."""
        ...

    def beat(self) -> None:
        """Show it; must not raise."""
        ...


class Heart:
    """Calls `beat` of all that was added, each at its own pace, until it is removed or collected.

    Safe to use from any thread. Beats are made outside the lock, one after another: a disk that hangs delays the beats
    of others in the process, whose owners then find their leases lost. That costs work done twice, nothing else.
    """

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def add(self, beating: Beating) -> None:
        """Beat for this from now on; the first beat is due after its `beat_seconds`."""
        with self._changed:
            self._due[beating] = time.monotonic() + beating.beat_seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="forebay-heart", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()

    def remove(self, beating: Beating) -> None:
        """Beat for this no more; a beat that has begun may still end."""
        with self._changed:
            self._due.pop(beating, None)
            if not self._due:
                self._changed.notify()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._due: WeakKeyDictionary[Beating, float] = WeakKeyDictionary()
        self._thread: threading.Thread | None = None

    def _run(self) -> None:
        while (ready := self._wait()) is not None:
            while ready:
                self._beat(ready.pop())  # popped, so that what nobody else holds can be collected

    def _beat(self, beating: Beating) -> None:
        try:
            beating.beat()
        except BaseException:  # noqa: BLE001 - who breaks the promise not to raise must not stop the others' hearts
            self.remove(beating)
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))

    def _wait(self) -> list[Beating] | None:
        """Return what is due, as soon as something is; None: nothing is left to beat for."""
        with self._changed:
            while True:
                now = time.monotonic()
                if not self._due and not self._changed.wait(_LINGER_SECONDS) and not self._due:
                    self._thread = None
                    return None
                ready = [beating for beating, due in self._due.items() if due <= now]
                if ready:
                    self._due.update((beating, now + beating.beat_seconds) for beating in ready)
                    return ready
                if self._due:
                    self._changed.wait(min(_LOOK_SECONDS, max(0.0, min(self._due.values()) - now)))


HEART = Heart()
"""The heart of this process."""
