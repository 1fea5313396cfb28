"""Who is writing to a store, said in the names of temporaries and in the index, so that what the dead left is found.

A token is ``<host>-<boot>-<namespace>-<pid>-<started>-<random>``: the first three are eight hexadecimal digits of a
hash each, the next two decimal (see `forebay.io.ProcessName`). One open store in one process is one session.
"""

from __future__ import annotations

import os
import re
import threading

from blake3 import blake3

from forebay.io import ProcessName

FOREIGN_SECONDS = 86_400.0
"""What another machine's process has not touched for this long is taken to be left behind: we cannot see its pid."""

_TOKEN = re.compile(r"([0-9a-f]{8})-([0-9a-f]{8}-[0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{12}")

_LIVE: set[str] = set()
"""Tokens of the sessions of this process that are open."""


class Session:
    """One open store in this process; `token` changes in a forked child, where it is another process's."""

    __slots__ = ("_guard", "_number", "_pid", "_token")

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._begin()

    @property
    def token(self) -> str:
        """What this session's files and rows are called after."""
        if self._pid != os.getpid():
            self._guard = threading.Lock()  # the parent's may have been held by another thread
            self._begin()
        return self._token

    def number(self) -> int:
        """Return a number that this session has not used before."""
        token = self.token
        with self._guard:
            assert token
            self._number += 1
            return self._number

    def end(self) -> None:
        """From now on, whatever bears the token is garbage."""
        _LIVE.discard(self._token)

    def _begin(self) -> None:
        me = ProcessName.mine()
        self._pid = os.getpid()
        self._number = 0
        self._token = f"{_short(me.host)}-{_place(me)}-{me.pid}-{me.started}-{os.urandom(6).hex()}"
        _LIVE.add(self._token)


def token_of(name: str) -> str | None:
    """Return the token that a temporary's name ``<token>-<n>`` begins with; None: it has none."""
    match = _TOKEN.match(name)
    return match[0] if match else None


def is_over(token: str, idle_seconds: float) -> bool:
    """Tell whether the session with this token ended, or must be taken to have.

    Args:
        token: as `Session.token`.
        idle_seconds: how long ago something of it was last touched.
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        return idle_seconds > FOREIGN_SECONDS
    me = ProcessName.mine()
    host, place, pid, started = match[1], match[2], int(match[3]), int(match[4])
    if (host, place, pid, started) == (_short(me.host), _place(me), me.pid, me.started):
        return token not in _LIVE
    if not me.place and host == _short(me.host):
        return idle_seconds > FOREIGN_SECONDS or not _runs(pid)
    if place != _place(me):
        # Another machine or container, whose processes we cannot see; or ours, before it was last started.
        return idle_seconds > FOREIGN_SECONDS or was_cut(token)
    return ProcessName(me.host, me.place, pid, started).is_gone()


def was_cut(token: str) -> bool:
    """Tell whether the session ran on this machine before it was last started: perhaps the power was cut."""
    match = _TOKEN.fullmatch(token)
    me = ProcessName.mine()
    if match is None or not me.place:
        return False
    return match[1] == _short(me.host) and match[2][:8] != _place(me)[:8]


def _runs(pid: int) -> bool:
    """Tell whether there is such a process, where the system says no more than that (no /proc)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def _place(process: ProcessName) -> str:
    boot, _, namespace = process.place.partition("/")
    return f"{_short(boot)}-{_short(namespace)}"


def _short(text: str) -> str:
    return blake3(text.encode()).hexdigest()[:8]
