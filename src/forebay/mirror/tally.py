"""What a mirror has done: requests and bytes, counted; one line a request where somebody wants to read it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from forebay.mirror.exchange import Answer, Request
from forebay.types import JSON


@dataclass(slots=True)
class Counts:
    """Since the mirror began.

    Attributes:
        requests: answered, whatever the answer.
        files: answers with bytes of a file that was in the store.
        files_fetched: answers with bytes that had to be fetched.
        bytes_sent: of files, to clients.
        refused: answers of 400 and above, without the 404s that are part of every conversation.
        cut: answers that were cut off because their bytes were wrong or did not come.
        failed: errors of the mirror itself.
    """

    requests: int = 0
    files: int = 0
    files_fetched: int = 0
    bytes_sent: int = 0
    refused: int = 0
    cut: int = 0
    failed: int = 0


class Tally:
    """Counts, and says what it counts. Safe over threads.

    Args:
        tell: is given one line a request; None: nobody reads them.
        warn: is given one line for what went wrong.
    """

    def __init__(self, tell: Callable[[str], None] | None = None, warn: Callable[[str], None] | None = None) -> None:
        self._guard = threading.Lock()
        self._counts = Counts()
        self._tell, self._warn = tell, warn

    @contextmanager
    def serving(self, request: Request, answer: Answer) -> Generator[Callable[[int], None]]:
        """Count one answer; what it yields is told of the bytes as they go."""
        began, sent = time.monotonic(), 0

        def more(count: int) -> None:
            nonlocal sent
            sent += count

        try:
            yield more
        finally:
            self._count(answer, sent)
            if self._tell is not None:
                seconds = time.monotonic() - began
                query = f"?{request.query}" if request.query else ""
                self._tell(f"{answer.status} {request.method} {request.raw_path}{query} {sent} bytes {seconds:.3f} s")

    def _count(self, answer: Answer, sent: int) -> None:
        with self._guard:
            counts = self._counts
            counts.requests += 1
            counts.refused += answer.status >= 400 and answer.status != 404
            if answer.content is not None:
                held = not answer.content.fetched
                counts.files += held
                counts.files_fetched += not held
                counts.bytes_sent += sent

    def cut(self, error: Exception) -> None:
        """Count an answer that was cut off."""
        with self._guard:
            self._counts.cut += 1
        if self._warn is not None:
            self._warn(f"answer cut off: {error}")

    def failed(self, request: Request, error: Exception) -> None:
        """Count an error of our own."""
        with self._guard:
            self._counts.failed += 1
        if self._warn is not None:
            self._warn(f"cannot answer {request.method} {request.raw_path}: {type(error).__name__}: {error}")

    def to_json(self) -> dict[str, JSON]:
        """Return the counts."""
        with self._guard:
            return dict(asdict(self._counts))
