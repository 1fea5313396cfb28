"""What goes wrong between a client and a hub, on purpose.

::

    hub.faults.add(HubFault(latency_seconds=0.05))                             # every request, until cleared
    hub.faults.add(HubFault(cut_after_bytes=1000), "*/train.parquet", times=2)  # the next two that ask for it
    hub.faults.add(HubFault(status=429, retry_after="1"), "/api/*", times=1)
    hub.faults.clear()

Patterns are those of `fnmatch`, on the path as it was sent, percent signs decoded, or on path and query
(`*FilePath=a.csv*`). A file behind LFS is asked for twice: at its own path, then at `/cdn/HUB/REPOSITORY/SHA256/NAME`,
so `*/train.parquet` meets both and `/cdn/*` the bytes alone. A fault in bytes waits for a request that gets some.
Rules that meet a request are added up; where two say something about the same thing, the later one has its way.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, slots=True)
class HubFault:
    """One or several things that go wrong together; None (or False) leaves a thing as it should be.

    Attributes:
        latency_seconds: wait before the answer.
        reset: cut the connection at once, without an answer (TCP reset).
        status: answer so (429, 500, 503, 504 …) instead; with `retry_after` as its Retry-After header.
        redirect_to: answer 302 to the same path at this address (`http://127.0.0.1:1234`).
        cut_after_bytes: close the connection after so many bytes of the body.
        flip_byte: turn one bit of the byte at this position of the file (negative: from its end), under the old names.
        replace_with: serve these bytes as the file, under the old names.
        short_by_bytes: announce and send so many bytes less than there are, as if the file were that short.
        bytes_per_second: send the body slowly.
        ignore_range: answer 200 with the whole file.
        ignore_conditions: never 304, and If-Range is taken for met.
        etag: the ETag (and X-Linked-ETag) to send, without quotes.
        drop_headers: names of headers not to send.
    """

    latency_seconds: float | None = None
    reset: bool = False
    status: int | None = None
    retry_after: str | None = None
    redirect_to: str | None = None
    cut_after_bytes: int | None = None
    flip_byte: int | None = None
    replace_with: bytes | None = None
    short_by_bytes: int | None = None
    bytes_per_second: float | None = None
    ignore_range: bool = False
    ignore_conditions: bool = False
    etag: str | None = None
    drop_headers: tuple[str, ...] = ()

    @property
    def only_bytes(self) -> bool:
        """Whether it can be seen in the bytes of a file alone."""
        told = {field.name for field in fields(self) if getattr(self, field.name) != field.default}
        return bool(told) and told <= _OF_BYTES

    @property
    def instead(self) -> bool:
        """Whether something else comes instead of what was asked for."""
        return self.reset or self.status is not None or self.redirect_to is not None

    def over(self, other: HubFault) -> HubFault:
        """Return both; what this one says counts where both say something."""
        told: dict[str, Any] = {}
        for field in fields(self):
            mine = getattr(self, field.name)
            told[field.name] = getattr(other, field.name) if mine == field.default else mine
        return HubFault(**told)


_OF_BYTES = {"cut_after_bytes", "flip_byte", "replace_with", "bytes_per_second"}

NO_FAULT = HubFault()


class Rule:
    """A fault, for whom, and how often still; `met` counts the requests that met it."""

    def __init__(self, fault: HubFault, pattern: str, methods: Iterable[str], times: int | None) -> None:
        self.fault, self.pattern, self.methods = fault, pattern, frozenset(methods)
        self.left = times
        self.met = 0

    def take(self, method: str, path: str, target: str) -> bool:
        """Return whether the request meets it, and count that."""
        if self.left == 0 or (self.methods and method not in self.methods):
            return False
        if not (fnmatchcase(path, self.pattern) or fnmatchcase(target, self.pattern)):
            return False
        self.met += 1
        self.left = None if self.left is None else self.left - 1
        return True


class HubFaults:
    """The rules of one hub; safe to change from any thread while it serves."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(
        self, fault: HubFault, pattern: str = "*", *, methods: Iterable[str] = (), times: int | None = None
    ) -> Rule:
        """Let requests that match `pattern`, of one of `methods` if any, meet `fault`: `times` times or for good."""
        rule = Rule(fault, pattern, methods, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take one rule away."""
        with self._lock:
            self._rules.remove(rule)

    def clear(self) -> None:
        """Take all rules away."""
        with self._lock:
            self._rules.clear()

    def met_by(self, method: str, path: str, target: str, *, sends_file: bool) -> HubFault:
        """Return what a request meets, and count it; `target` has the query too, `sends_file`: a file will follow."""
        met: dict[int, HubFault] = {}
        with self._lock:
            for n, rule in enumerate(self._rules):
                if not rule.fault.only_bytes and rule.take(method, path, target):
                    met[n] = rule.fault
                    sends_file = sends_file and not rule.fault.instead
            for n, rule in enumerate(self._rules):
                if sends_file and rule.fault.only_bytes and rule.take(method, path, target):
                    met[n] = rule.fault
        fault = NO_FAULT
        for n in sorted(met):
            fault = met[n].over(fault)
        return fault
