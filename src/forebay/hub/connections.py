"""Connections that can all be cut, so that whoever waits for a hub that hangs need not wait for its time-out."""

from __future__ import annotations

import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    def pools(self, classes: Mapping[str, type[HTTPConnectionPool]]) -> dict[str, type[HTTPConnectionPool]]:
        """Return `PoolManager.pool_classes_by_scheme` anew, for connections that are noted here."""
        return {scheme: self._noting(pool) for scheme, pool in classes.items()}

    def _noting(self, pool: type[Any]) -> type[HTTPConnectionPool]:
        note, connection = self.note, pool.ConnectionCls

        class Connection(connection):
            def connect(self) -> None:
                super().connect()
                note(self.sock)

        class Pool(pool):
            ConnectionCls = Connection

        return Pool


def _cut(opened: socket.socket) -> None:
    """End a connection for the thread that waits for it; TLS's own way of that would wait for the other side."""
    try:
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
    except OSError:
        pass  # it has been closed
