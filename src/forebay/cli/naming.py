"""From what a user types to an entry: a key, its first digits, ``kind:digits``, a name (``runs/demo``), a reference.

A repository may also be called by the folder of its names, ``hub/hf/dataset/NS/NAME``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from forebay.errors import InputError, NotFoundError
from forebay.text import short
from forebay.types import Key, is_hex64

if TYPE_CHECKING:
    from forebay.hub import Reference
    from forebay.store import Store

LEAST_DIGITS = 6
"""Fewer digits of a key than this name nothing: they would soon be ambiguous."""

_SHOWN = 4


def resolve(store: Store, text: str) -> tuple[str, Key]:
    """Find the one entry that `text` means.

    Raises:
        NotFoundError: there is none.
        InputError: there are several, or the digits are too few.
    """
    reference = referred(store, text)
    if reference is not None:
        return _snapshot(store, reference.whole)
    kind, _, digits = text.rpartition(":")
    digits = digits.lower()
    if not re.fullmatch(r"[0-9a-f]{1,64}", digits):
        return _named(store, text)
    if len(digits) < LEAST_DIGITS:
        named = store.names.get(text)
        if named is not None:
            return named
        raise InputError(f"{text!r} is too short for a key", subject=text, hint=f"give {LEAST_DIGITS} digits or more")
    found = sorted({(row.kind, row.key) for row in store.entries(kind=kind or None) if row.key.startswith(digits)})
    if not found:
        return _named(store, text)
    if len(found) > 1:
        shown = ", ".join(f"{kind}:{key[:16]}" for kind, key in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        what = "is in several kinds" if is_hex64(digits) else "begins several keys"
        raise InputError(f"{text!r} {what}: {shown}{more}", subject=text, hint="give more digits, or kind:digits")
    return found[0]


def referred(store: Store, text: str) -> Reference | None:
    """Return the reference that a user gave, or whose folder of names it is; None: it is neither.

    Raises:
        InputError: it looks like a reference, and is none.
    """
    if "://" in text:
        from forebay.hub import parse

        return parse(text)
    if not text.startswith("hub/"):
        return None
    from forebay.hub.memory import reference_named

    folder = text.rstrip("/")
    meant = reference_named(f"{folder}/main")
    if meant is None or store.names.get(folder) is not None:
        return None
    there = (reference_named(name) for name in store.names.list(f"{folder}/"))
    return replace(meant, revision=None) if any(one is not None and one.id == meant.id for one in there) else None


def spelled(store: Store, text: str) -> str:
    """Return a name as the store has it where a user gives a run's project as its recipe writes it; else `text`."""
    if text.startswith("runs/") and store.names.get(text) is None:
        from forebay.pipeline.runs.record import name_of

        safe = name_of(text.removeprefix("runs/"))
        return safe if store.names.get(safe) is not None else text
    return text


def gone(store: Store, kind: str, key: Key) -> NotFoundError:
    """Return the error of an entry that something names still, and that is not there."""
    what = f"{kind} {short(key)} is no longer in {store.home}"
    hint = "it was removed, evicted, or set aside as damaged; what made it makes it again"
    return NotFoundError(what, subject=key, hint=hint)


def _snapshot(store: Store, reference: Reference) -> tuple[str, Key]:
    """Return the snapshot that a reference means, as the store knows it."""
    from forebay.hub.holdings import chosen
    from forebay.hub.memory import Memory
    from forebay.hub.snapshot import SNAPSHOT

    meant = Memory(store).standing(reference)
    if meant is not None:
        return SNAPSHOT, meant.key
    return SNAPSHOT, chosen(store, [reference])[-1].snapshot.key  # the latest that was asked for


def _named(store: Store, text: str) -> tuple[str, Key]:
    found = store.names.get(spelled(store, text.rstrip("/")))
    if found is None:
        raise NotFoundError(f"no entry {text!r} in {store.home}", subject=text, hint="`forebay ls` shows what is there")
    return found
