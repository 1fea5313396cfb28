"""Canonical, type-tagged bytes of plain values.

An atom is a value without parts: None, a number, a string. `atom` gives its kind (the type tag), its canonical
content and a short text for people. `plain` encodes a large container of atoms in one piece, which is some thirty
times cheaper than a tree node per element.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, cast

_TEXT = 60
_DEEP = 50  # containers nested deeper than this go through the graph, which also sees cycles

_NAN = struct.pack(">d", math.nan)


def shorten(text: str, limit: int = _TEXT) -> str:
    """Return `text` cut to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _float(value: float) -> bytes:
    # One NaN, whatever its payload; -0.0 and 0.0 stay apart, for they print and divide differently.
    return _NAN if value != value else struct.pack(">d", value)


def _int(value: int) -> bytes:
    return b"%x" % value


def _str(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _repr(value: object) -> str:
    return shorten(repr(value))


def _long_repr(value: Any) -> str:
    return shorten(repr(value[: _TEXT * 2]))


def _int_repr(value: int) -> str:
    # repr() refuses integers of more than some thousand digits.
    return str(value) if value.bit_length() < 200 else f"integer of {value.bit_length()} bits"


_ATOMS: dict[type, tuple[str, Callable[[Any], bytes], Callable[[Any], str]]] = {
    type(None): ("none", lambda _: b"", _repr),
    bool: ("bool", lambda value: b"1" if value else b"0", _repr),
    int: ("int", _int, _int_repr),
    float: ("float", _float, _repr),
    complex: ("complex", lambda value: _float(value.real) + _float(value.imag), _repr),
    str: ("str", _str, _long_repr),
    bytes: ("bytes", lambda value: value, _long_repr),
    bytearray: ("bytearray", bytes, _long_repr),
    type(Ellipsis): ("ellipsis", lambda _: b"", _repr),
    type(NotImplemented): ("not-implemented", lambda _: b"", _repr),
    range: ("range", lambda value: b"%x,%x,%x" % _span(value), _repr),
}


def _span(value: range) -> tuple[int, int, int]:
    # Equal ranges have equal elements: range(0, 5, 2) == range(0, 6, 2), and all empty ranges are equal.
    count = len(value)
    return (value.start, value.step, count) if count > 1 else (value.start if count else 0, 1, count)


ATOM_TYPES = frozenset(_ATOMS)


def atom(value: object) -> tuple[str, bytes, str] | None:
    """Return kind, canonical content and readable text of an atom; None for anything else, subclasses included."""
    entry = _ATOMS.get(type(value))
    if entry is None:
        return None
    kind, encode, text = entry
    return kind, encode(value), text(value)


def plain(value: object, depth: int = 0) -> bytes | None:
    """Return the canonical bytes of a value made of atoms, lists, tuples, dicts and sets alone; None for any other."""
    entry = _ATOMS.get(type(value))
    if entry is not None:
        return _piece(entry[0], entry[1](value))
    encode = _CONTAINERS.get(type(value))
    if encode is None or depth > _DEEP:
        return None
    content = encode(value, depth + 1)
    return None if content is None else _piece(type(value).__name__, content)


def _piece(kind: str, content: bytes) -> bytes:
    return b"%s:%d:%s" % (kind.encode(), len(content), content)


def _sequence(value: object, depth: int) -> bytes | None:
    pieces = [plain(item, depth) for item in cast("list[object]", value)]
    return None if None in pieces else b"".join(cast("list[bytes]", pieces))


def _unordered(value: object, depth: int) -> bytes | None:
    pieces = [plain(item, depth) for item in cast("set[object]", value)]
    return None if None in pieces else b"".join(sorted(cast("list[bytes]", pieces)))


def _mapping(value: object, depth: int) -> bytes | None:
    pieces: list[bytes] = []
    for key, item in cast("dict[object, object]", value).items():
        key_bytes, item_bytes = plain(key, depth), plain(item, depth)
        if key_bytes is None or item_bytes is None:
            return None
        pieces.append(key_bytes + item_bytes)
    return b"".join(sorted(pieces))


_CONTAINERS: dict[type, Callable[[object, int], bytes | None]] = {
    list: _sequence,
    tuple: _sequence,
    set: _unordered,
    frozenset: _unordered,
    dict: _mapping,
}
