"""Connections that can all be cut, so that whoever waits for a hub that hangs need not wait for its time-out."""

from __future__ import annotations

import socket
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urllib3 import HTTPConnectionPool


class Connections:
    """What is open to hubs, proxies between. Safe to use from several threads."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        """Set once they have been cut."""
        self._guard = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def end(self) -> None:
        """Cut all that are open, and from now on all that are opened."""
        self.ended.set()
        with self._guard:
            for each in self._sockets:
                _cut(each)

    def note(self, opened: object) -> None:
        """Take note of a socket that has just been connected."""
        if not isinstance(opened, socket.socket):  # TLS within TLS, behind a proxy: it ends with its time-out
            return
        with self._guard:
            self._sockets.add(opened)
        if self.ended.is_set():
            _cut(opened)

    def pools(self) -> dict[str, type[HTTPConnectionPool]]:
        """Return what `PoolManager.pool_classes_by_scheme` is to be, for connections that are noted here."""
        from urllib3.connection import HTTPConnection, HTTPSConnection
        from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

        note = self.note

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                note(self.sock)

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                note(self.sock)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain  # pyright: ignore[reportAssignmentType]  # as urllib3 documents it

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure  # pyright: ignore[reportAssignmentType]

        return {"http": PlainPool, "https": SecurePool}


def _cut(opened: socket.socket) -> None:
    """End a connection for the thread that waits for it; TLS's own way of that would wait for the other side."""
    try:
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
    except OSError:
        pass  # it has been closed
