"""What happened, as one frozen record, and who wants to know.

Everything that Forebay does tells it through a `Hook`: progress, metrics, logs and the hit/miss ledger are hooks,
so no module below them prints or counts. A hook must be quick and must not raise; it may be called from any thread
of the process that did the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from forebay.types import JSON


class What(StrEnum):
    """Kinds of event."""

    HIT = "hit"
    MISS = "miss"
    BUILD = "build"
    WAIT = "wait"
    TAKEOVER = "takeover"
    FETCH = "fetch"
    EVICT = "evict"
    VERIFY = "verify"
    QUARANTINE = "quarantine"
    PROGRESS = "progress"
    WARNING = "warning"


def _nothing() -> Mapping[str, JSON]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        what: the kind of event.
        message: one line for people; empty where the event is for counters only.
        key: key or digest concerned, or "".
        kind: entry kind concerned, or "".
        bytes: decoded bytes concerned.
        seconds: wall seconds it took (or saved, for a hit).
        facts: anything else, JSON-able.
    """

    what: What
    message: str = ""
    key: str = ""
    kind: str = ""
    bytes: int = 0
    seconds: float = 0.0
    facts: Mapping[str, JSON] = field(default_factory=_nothing)


class Hook(Protocol):
    """Someone who wants to know."""

    def __call__(self, event: Event, /) -> None:
        """Take note of `event`; quick, and never raising."""
        ...


def ignore(event: Event, /) -> None:
    """The hook of those who do not want to know."""


class Tee:
    """One hook that tells several, in order."""

    __slots__ = ("_hooks",)

    def __init__(self, *hooks: Hook) -> None:
        self._hooks = hooks

    def __call__(self, event: Event, /) -> None:
        """Tell every hook."""
        for hook in self._hooks:
            hook(event)


class OncePerMessage:
    """Pass each distinct warning on once, and each wait; every other event always."""

    __slots__ = ("_hook", "_told")

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._told: set[str] = set()

    def __call__(self, event: Event, /) -> None:
        """Pass `event` on, unless it is a warning or a wait told before."""
        if event.what in (What.WARNING, What.WAIT):
            if event.message in self._told:
                return
            self._told.add(event.message)
        self._hook(event)
