"""Flushing while a long file still comes in, so that little is left to flush when its last byte is there."""

from __future__ import annotations

from threading import Thread

from forebay.io.filesystem import OpenFile
from forebay.types import Buffer

_EVERY_BYTES = 32 * 2**20


class FlushedAhead:
    """An `OpenFile` whose content a thread flushes every 32 MiB. To be used from one thread at a time.

    A flush that failed says that content is lost, and no later one makes it good: `flush` raises what the first did.
    """

    def __init__(self, file: OpenFile, *, every_bytes: int = _EVERY_BYTES) -> None:
        self._file = file
        self._every = every_bytes
        self._unflushed = 0
        self._thread: Thread | None = None
        self._error: OSError | None = None

    def write(self, data: Buffer) -> None:
        """See `OpenFile.write`."""
        self._file.write(data)
        self._unflushed += memoryview(data).nbytes
        if self._unflushed >= self._every and (self._thread is None or not self._thread.is_alive()):
            self._settle()
            self._unflushed = 0
            self._thread = Thread(target=self._flush_now, name="forebay-flush", daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """See `OpenFile.flush`."""
        self._settle()
        if self._error is not None:
            raise self._error
        self._file.flush()

    def close(self) -> None:
        """See `OpenFile.close`."""
        self._settle()
        self._file.close()

    def _settle(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _flush_now(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            self._error = self._error or error
