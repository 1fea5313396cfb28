"""A listening port whose connections are each served by a thread; it can die and come back at the same number."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Callable


class Listener:
    """Accepts on 127.0.0.1, which goes by `name`, and hands each connection to `serve` in a thread of its own.

    While dead the port stays ours, but nobody listens: who connects is refused. `die`, `revive` and `close` may be
    called from any thread but those of the connections.
    """

    def __init__(self, serve: Callable[[socket.socket], None], name: str = "127.0.0.1") -> None:
        self._serve, self._name = serve, name
        self._threads: set[threading.Thread] = set()
        self._connections: set[socket.socket] = set()
        self._changing = threading.Lock()
        self._accepting: threading.Thread | None = None
        self._wake, self._woken = socket.socketpair()
        self._socket = _bound(0)
        self.port: int = self._socket.getsockname()[1]

    @property
    def endpoint(self) -> str:
        """`http://NAME:PORT`."""
        return f"http://{self._name}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether connections are accepted."""
        return self._accepting is not None

    def open(self) -> None:
        """Begin to accept."""
        self._socket.listen(128)
        self._accepting = threading.Thread(
            target=self._accept, args=(self._socket,), name="fakehub accept", daemon=True
        )
        self._accepting.start()

    def die(self) -> None:
        """Reset all connections and refuse new ones."""
        if self._accepting is None:
            return
        self._wake.send(b".")
        self._accepting.join()
        self._accepting = None
        self._woken.recv(1)
        self._socket.close()
        self._socket = _bound(self.port)
        with self._changing:
            connections, threads = list(self._connections), list(self._threads)
        for connection in connections:
            abort(connection)
        for thread in threads:
            thread.join()

    def close(self) -> None:
        """Stop for good."""
        self.die()
        self._socket.close()
        self._wake.close()
        self._woken.close()

    def _accept(self, listening: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listening, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    return
                try:
                    connection, _ = listening.accept()
                except OSError:  # the client went away between the two calls, or descriptors ran out
                    continue
                self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        thread = threading.Thread(target=self._serve_one, args=(connection,), name="fakehub connection", daemon=True)
        with self._changing:
            self._connections.add(connection)
            self._threads.add(thread)
        thread.start()

    def _serve_one(self, connection: socket.socket) -> None:
        try:
            self._serve(connection)
        except OSError:  # the client went away, or we are closing
            pass
        finally:
            with self._changing:
                self._connections.discard(connection)
                self._threads.discard(threading.current_thread())
            connection.close()


def abort(connection: socket.socket) -> None:
    """Make the other side see a reset, and wake whoever reads here."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    except OSError:  # gone already
        pass


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
