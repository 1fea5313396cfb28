"""Attributes of functions and classes that count only where code reads them.

A docstring changes no result, unless code reads ``__doc__``. Which function it reads it from cannot be told, so once
any of the code reads it, the docstrings of all functions and classes reached count; so it goes for annotations, and for
the attributes that somebody has set on functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from forebay.fingerprint.graph import Node
from forebay.fingerprint.walk import Walk

_OF_FUNCTIONS = ("__annotations__", "__doc__", "__name__", "__qualname__")
_OF_CLASSES = ("__annotations__", "__doc__", "__orig_bases__")
_SPECIAL = frozenset({*_OF_FUNCTIONS, *_OF_CLASSES})
_MISSING: Any = object()


def read_attributes(walk: Walk, done: set[tuple[int, str]]) -> bool:
    """Let functions and classes depend on what is read of them; tell whether there was anything new."""
    named = walk.named | walk.named_by_text
    special = bool(named & _SPECIAL)
    before = len(done)
    for node, value in walk.subjects if special else walk.attributed:
        for name in _wanted(named, value):
            if (id(node), name) not in done:
                done.add((id(node), name))
                read_attribute(walk, node, value, name)
    return len(done) > before


def _wanted(named: set[str], value: Any) -> Iterator[str]:
    names = _OF_CLASSES if isinstance(value, type) else _OF_FUNCTIONS
    yield from (name for name in names if name in named)
    if not isinstance(value, type):
        kept = (name for name in sorted(value.__dict__) if name != "__wrapped__")  # it is in the closure, too
        yield from (name for name in kept if name in named or "*" in named)


def read_attribute(walk: Walk, node: Node, value: Any, name: str) -> None:
    """Let `node` depend on an attribute of the function or class `value`, if it has it."""
    try:
        found = vars(value).get(name, _MISSING) if name == "__orig_bases__" else getattr(value, name, _MISSING)
    except Exception:  # noqa: BLE001 - annotations are code, and may name what there is not; whoever reads them meets it
        found = _MISSING
    if found is not _MISSING:
        walk.child(node, f".{name}", found)
