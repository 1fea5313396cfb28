"""The process that workers are forked from: it has imported what they need, once for all of them (design/0005).

Importing Arrow and numpy costs each process a tenth of a second of CPU and tens of megabytes; a fork costs a
millisecond and shares the pages.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress

_ORDER = struct.Struct("!cQ")
_FORK, _WAIT, _KILL, _RETIRE = b"F", b"W", b"K", b"R"
_STATUS = struct.Struct("!i")
UNKNOWN = -1
"""The status of a worker that somebody else has waited for."""


class Nursery:
    """Forks workers on demand. Not for several threads.

    Args:
        prepare: called once in the nursery; must start no thread. If it raises, workers are forked all the same.
        work: called in each worker with its end of a socket pair; what it returns is the exit status.
        leave: closed in the nursery: descriptors of the parent that workers must not hold.
    """

    def __init__(
        self, prepare: Callable[[], None], work: Callable[[socket.socket], int], leave: Sequence[socket.socket] = ()
    ) -> None:
        self._orders, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._orders.close()
                for other in leave:
                    other.close()
                _serve(theirs, prepare, work)
            finally:
                os._exit(0)  # no clean-up that belongs to the parent: its buffers, threads and exit hooks
        theirs.close()

    def fork(self) -> socket.socket:
        """Ask for a worker and return our end of its socket pair; if the nursery has gone, it is at its end already."""
        ours, theirs = socket.socketpair()
        with theirs, suppress(ConnectionError):
            socket.send_fds(self._orders, [_ORDER.pack(_FORK, 0)], [theirs.fileno()])
        return ours

    def status(self, pid: int, *, kill: bool = False) -> int | None:
        """Wait for a worker to end, or kill it, and return how it ended, as `os.waitpid` says it or `UNKNOWN`.

        None: the nursery has gone. Its workers then end when their sockets do.
        """
        try:
            self._orders.sendall(_ORDER.pack(_KILL if kill else _WAIT, pid))
            answer = _exactly(self._orders, _STATUS.size)
        except ConnectionError:
            return None
        return _STATUS.unpack(answer)[0] if answer else None

    def retire(self) -> None:
        """Let it end when its workers have, which must be about to; it takes no more orders."""
        with suppress(ConnectionError):
            self._orders.sendall(_ORDER.pack(_RETIRE, 0))

    def kill(self) -> None:
        """End it now; `close` comes after."""
        with suppress(ChildProcessError, ProcessLookupError):  # someone else's wait() has collected it
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """End it; workers that are still there go on until their sockets end, unless it waits for them: `retire`."""
        self._orders.close()
        with suppress(ChildProcessError):  # someone else's wait() has collected it
            os.waitpid(self._pid, 0)


def _serve(orders: socket.socket, prepare: Callable[[], None], work: Callable[[socket.socket], int]) -> None:
    """The nursery's life: until the parent closes its side, or it is to retire and its workers have ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    gc.disable()  # until there is garbage, in a worker
    with suppress(Exception):  # whoever needs what is missing says so
        prepare()
    gc.freeze()  # no collection of a worker goes through what is loaded: its pages stay shared
    with suppress(ConnectionError):
        while True:
            order, descriptors, _, _ = socket.recv_fds(orders, _ORDER.size, 1)
            order += _exactly(orders, _ORDER.size - len(order)) if order else b""
            if len(order) < _ORDER.size:
                return
            what, pid = _ORDER.unpack(order)
            if what == _RETIRE:
                break
            if what != _FORK:
                orders.sendall(_STATUS.pack(_ended(pid, kill=what == _KILL)))
                continue
            with socket.socket(fileno=descriptors[0]) as channel:
                if os.fork() == 0:
                    _be_worker(orders, channel, work)
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _be_worker(orders: socket.socket, channel: socket.socket, work: Callable[[socket.socket], int]) -> None:
    """A worker's life; never returns."""
    status = 1
    gc.enable()
    try:
        orders.close()
        status = work(channel)
        channel.close()  # before its memory goes, which takes a while
    finally:
        os._exit(status)


def _ended(pid: int, *, kill: bool) -> int:
    try:
        if kill:
            os.kill(pid, signal.SIGKILL)  # it may have ended, but nobody else has its pid before we waited for it
        return os.waitpid(pid, 0)[1]
    except (ChildProcessError, ProcessLookupError):
        return UNKNOWN


def _exactly(sock: socket.socket, size: int) -> bytes:
    """Read `size` bytes; fewer where the other side has gone."""
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data
