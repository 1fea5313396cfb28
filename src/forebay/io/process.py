"""Who a process is, so that another on the same machine can tell whether it is still there.

A pid alone is not enough: pids are used again, containers number their own, and a store on NFS is seen by many
machines. So a process is named by the place that its pid counts in (boot of the kernel, pid namespace), its pid, and
the kernel's tick at which it started.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from forebay.types import JSON

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True, slots=True)
class ProcessName:
    """A name for one process that no other process, on any machine, ever has.

    Attributes:
        host: name of the machine, for people.
        place: where `pid` counts: boot id and pid namespace; "" where the system does not tell (no /proc).
        pid: the process id there.
        started: clock ticks from boot to the process's start; 0 where unknown.
    """

    host: str
    place: str
    pid: int
    started: int

    @staticmethod
    def mine() -> ProcessName:
        """Return the name of the calling process; right after a fork() too."""
        return _name_of(os.getpid())

    @staticmethod
    def from_json(value: Mapping[str, JSON]) -> ProcessName | None:
        """Read what `to_json` wrote; None if it is not that."""
        host, place, pid, started = (value.get(name) for name in ("host", "place", "pid", "started"))
        if isinstance(host, str) and isinstance(place, str) and isinstance(pid, int) and isinstance(started, int):
            return ProcessName(host, place, pid, started)
        return None

    def to_json(self) -> dict[str, JSON]:
        """Return this as a JSON object of four fields."""
        return {"host": self.host, "place": self.place, "pid": self.pid, "started": self.started}

    def is_gone(self) -> bool:
        """Tell whether the process surely ended. False when it runs, is stopped, or cannot be seen from here."""
        if not self.place or self.place != _place():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False  # it is there, but another user's
        started, state = _started_and_state(self.pid)
        # A zombie ended; its parent has not looked yet. Without /proc/<pid> (hidepid) we know only that the pid lives.
        return state in ("Z", "X") or (started > 0 and self.started > 0 and started != self.started)


@cache
def _name_of(pid: int) -> ProcessName:
    return ProcessName(os.uname().nodename, _place(), pid, _started_and_state(pid)[0])


@cache
def _place() -> str:
    try:
        return f"{_BOOT.read_text('ascii').strip()}/{_NAMESPACE.readlink().name}"
    except OSError:
        return ""


def _started_and_state(pid: int) -> tuple[int, str]:
    """Return field 22 and field 3 of /proc/<pid>/stat, or (0, "") where there is none."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0, ""
    fields = facts[facts.rindex(b")") + 2 :].split()  # the command's name may hold spaces and parentheses
    return int(fields[19]), fields[0].decode("ascii")
