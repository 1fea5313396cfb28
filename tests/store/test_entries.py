"""An entry's file: what cannot be written, and what is not read."""

from __future__ import annotations

from typing import Any

import pytest
from blake3 import blake3

from forebay.errors import ObjectDamagedError, StoreError
from forebay.store.entry import DEEPEST, decode, encode
from forebay.types import Cost, Entry, Key


def entry(meta: dict[str, Any]) -> Entry:
    return Entry("delta", Key("ab" * 32), cost=Cost(bytes=1, seconds=0.0), meta=meta)


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number in range(levels):
        found = {"a": found if number % 2 else [found, 1]}
    return found


def with_check(line: bytes) -> bytes:
    return b'{"check":"' + blake3(line).hexdigest().encode() + b'",' + line[1:]


def test_facts_nested_as_deep_as_every_python_reads_them():
    written = encode(entry(nested(DEEPEST // 2)))
    assert decode(written).meta == nested(DEEPEST // 2)
    many = entry({"a": [{"b": number} for number in range(3 * DEEPEST)], "text": "{[" * DEEPEST})
    assert decode(encode(many)).meta == many.meta


@pytest.mark.parametrize("levels", [DEEPEST, 700, 5000])
def test_facts_nested_deeper_are_neither_written_nor_read(levels):
    """Python 3.14 would read thousands of levels, 3.11 a thousand at most."""
    with pytest.raises(StoreError, match="is not JSON: "):
        encode(entry(nested(levels)))
    line = encode(entry({"a": 7})).partition(b'",')[2]
    deep = b"{" + line.replace(b'{"a":7}', b'{"a":' * levels + b"7" + b"}" * levels)
    with pytest.raises(ObjectDamagedError, match="not an entry of this format"):
        decode(with_check(deep))
