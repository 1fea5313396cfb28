"""An entry's file: canonical JSON that carries a check of its own.

One line: UTF-8, keys sorted, no white space, ``\\n`` at the end. ``check`` is the BLAKE3 of the same line without
``"check":"…",``; as it sorts first, it can be checked on the bytes, before they are parsed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from blake3 import blake3

from forebay import __version__
from forebay.errors import ObjectDamagedError, StoreError
from forebay.types import Cost, Digest, Entry, Key, ObjectRef

_HEAD = b'{"check":"'
_TAIL = b'",'
_START = len(_HEAD) + 64
DEEPEST = 500
"""How many levels an entry's JSON may be nested: some 1000 are what Python 3.11 reads."""


def encode(entry: Entry) -> bytes:
    """Return the bytes of an entry's file.

    Raises:
        StoreError: `meta` or `parts` holds what JSON cannot (NaN, bytes, a key that is no string), or is nested too
            deeply.
    """
    fields: dict[str, object] = {
        "cost": {"bytes": entry.cost.bytes, "seconds": entry.cost.seconds},
        "created": entry.created,
        "dataset": entry.dataset,
        "inputs": list(entry.inputs),
        "key": entry.key,
        "kind": entry.kind,
        "meta": dict(entry.meta),
        "objects": [{"digest": ref.digest, "role": ref.role, "size": ref.size} for ref in entry.objects],
        "parts": dict(entry.parts),
        "recoverable": entry.recoverable,
        "versions": dict(entry.versions),
    }
    try:
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        line = text.encode("utf-8") + b"\n"
        _refuse_depth(line, fields)
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError (a lone surrogate) is a ValueError
        what = f"entry {entry.kind} {entry.key[:12]} is not JSON: {error}"
        raise StoreError(
            what, subject=entry.key, hint="keep numbers, strings, lists and objects in meta and parts"
        ) from error
    return _HEAD + blake3(line).hexdigest().encode() + _TAIL + line[1:]


def decode(data: bytes) -> Entry:
    """Return the entry that a file holds.

    Raises:
        ObjectDamagedError: the bytes are not what was written.
    """
    if not data.startswith(_HEAD) or data[_START : _START + len(_TAIL)] != _TAIL:
        raise ObjectDamagedError("it does not begin as an entry does")
    check, line = data[len(_HEAD) : _START], b"{" + data[_START + len(_TAIL) :]
    if blake3(line).hexdigest().encode() != check:
        raise ObjectDamagedError("its check does not match")
    try:
        fields = json.loads(line)
        _refuse_depth(line, fields)
        return _entry(fields)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # The check fits, so it was written so: by a later version, or by hand.
        raise ObjectDamagedError(f"it is not an entry of this format: {error!r}") from error


def _refuse_depth(line: bytes, fields: Any) -> None:
    """Refuse what not every version of Python could read: how deep JSON may be nested differs between them.

    Raises:
        ValueError: it is nested too deeply.
    """
    if line.count(b"{") + line.count(b"[") <= DEEPEST:
        return
    level: list[Any] = [fields]
    for _ in range(DEEPEST):
        level = [part for item in level for part in _parts(item)]
    if level:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list | tuple) else ()


def _entry(fields: Any) -> Entry:
    cost = fields["cost"]
    return Entry(
        kind=fields["kind"],
        key=Key(fields["key"]),
        objects=tuple(ObjectRef(o["role"], Digest(o["digest"]), int(o["size"])) for o in fields["objects"]),
        meta=cast("dict[str, Any]", fields["meta"]),
        parts=cast("dict[str, Any]", fields["parts"]),
        inputs=tuple(Key(key) for key in fields["inputs"]),
        cost=Cost(float(cost["seconds"]), int(cost["bytes"])),
        recoverable=bool(fields["recoverable"]),
        dataset=str(fields["dataset"]),
        created=float(fields["created"]),
        versions=fields["versions"],
    )


def same_result(one: Entry, other: Entry) -> bool:
    """Tell whether two entries say the same, but for when, by which version and at what cost it was made."""
    blank = {"created": 0.0, "versions": {}, "cost": Cost()}
    return encode(replace(one, **blank)) == encode(replace(other, **blank))


def versions() -> dict[str, str]:
    """Return what an entry made here says of the programs that made it."""
    return {"forebay": __version__, "python": ".".join(str(part) for part in sys.version_info[:3])}
