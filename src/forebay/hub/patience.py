"""Patience: how long to wait before asking a busy server again, who is told, and when it is too long."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from forebay.errors import OriginError
from forebay.events import Event, Hook, What, ignore

_LONGEST_WAIT_SECONDS = 20.0
_LONGEST_RETRY_AFTER_SECONDS = 120.0
_TOLD_SECONDS = 1.5
"""Shorter waits are nobody's business."""


class Busy(OriginError):
    """An answer that asks for patience (408, 429, 5xx), or a connection that broke.

    Attributes:
        retry_after: seconds that the server asks us to wait; None: it does not say.
    """

    def __init__(self, what: str, *, retry_after: float | None = None, subject: object = None) -> None:
        super().__init__(what, subject=subject, hint="try again later")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Waits:
    """How long to wait before the next attempt: exponential, with jitter, or as long as the server asks."""

    first_seconds: float = 0.5
    longest_seconds: float = _LONGEST_WAIT_SECONDS

    def seconds(self, attempt: int, error: OriginError) -> float:
        """Return how long to wait after the failed attempt number `attempt` (from 0)."""
        asked = error.retry_after if isinstance(error, Busy) else None
        if asked is not None:
            return min(asked, _LONGEST_RETRY_AFTER_SECONDS) + random.uniform(0, min(0.25, 0.1 * asked + 0.01))
        most = min(self.first_seconds * 2**attempt, self.longest_seconds)
        return random.uniform(most / 2, most)


@dataclass(slots=True)
class Patience:
    """Waits, and says so. Safe to use from several threads: of those that wait at the same time one is told of.

    Attributes:
        waits: how long.
        hook: told by WARNING.
        sleep: does it.
    """

    waits: Waits
    hook: Hook = ignore
    sleep: Callable[[float], object] = time.sleep
    _until: float = 0.0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, attempt: int, error: Busy, stop: threading.Event | None = None) -> bool:
        """Wait after the failed attempt number `attempt` (from 0); tell whether `stop` was set meanwhile.

        Raises:
            Busy: the server asks for more than two minutes.
        """
        asked = error.retry_after
        if asked is not None and asked > _LONGEST_RETRY_AFTER_SECONDS:
            what = f"{error.what} and asks to be left alone for {asked:.0f} s"
            raise Busy(what, retry_after=asked, subject=error.subject) from error
        seconds = self.waits.seconds(attempt, error)
        if seconds >= _TOLD_SECONDS and self._is_news(seconds):
            self.hook(Event(What.WARNING, f"{error.what}; waiting {seconds:.0f} s before attempt {attempt + 2}"))
        if stop is not None:
            return stop.wait(seconds)
        self.sleep(seconds)
        return False

    def _is_news(self, seconds: float) -> bool:
        with self._guard:
            now = time.monotonic()
            news, self._until = now >= self._until, max(self._until, now + seconds)
            return news
