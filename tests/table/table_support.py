"""What the tests of tables share: objects in memory, random rows, the model of what JSON rows become."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
from blake3 import blake3
from hypothesis import strategies as st

from forebay.table import Shard, ipc
from forebay.types import Digest, ObjectRef


class Memory:
    """Objects in a dict; counts what is read."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []

    def put(self, role: str, data: Any) -> ObjectRef:
        content = bytes(memoryview(data))
        digest = Digest(blake3(content).hexdigest())
        self.objects[digest] = content
        return ObjectRef(role, digest, len(content))

    def read(self, digest: Digest, /) -> memoryview:
        self.reads.append(digest)
        return memoryview(self.objects[digest])

    def shard(self, rows: pa.Table) -> Shard:
        return Shard(self.put("base", ipc.encode(rows)), rows.num_rows)


def encoded(rows: pa.Table) -> bytes:
    return bytes(memoryview(ipc.encode(rows)))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)

# A column's values are drawn from one type each, so that they have a common one; None is always possible.
column_types = st.recursive(
    st.sampled_from(["text", "integer", "float", "bool", "null"]),
    lambda inner: st.one_of(
        st.tuples(st.just("list"), inner),
        st.tuples(st.just("struct"), st.dictionaries(st.sampled_from("abcé"), inner, min_size=1, max_size=3)),
    ),
    max_leaves=4,
)


def values(kind: Any) -> st.SearchStrategy[Any]:
    plain = {"text": texts, "integer": integers, "float": floats, "bool": st.booleans(), "null": st.none()}
    if isinstance(kind, str):
        return st.none() | plain[kind]
    name, inner = kind
    if name == "list":
        return st.none() | st.lists(values(inner), max_size=3)
    return st.none() | st.fixed_dictionaries({}, optional={key: values(each) for key, each in inner.items()})


@st.composite
def json_rows(draw: st.DrawFn, max_size: int = 20) -> list[dict[str, Any]]:
    """Rows with common types: keys may be missing, values null, nested anyhow."""
    columns = draw(st.dictionaries(st.sampled_from(["text", "n", "meta", "ü", "x y"]), column_types, max_size=3))
    row = st.fixed_dictionaries({}, optional={name: values(kind) for name, kind in columns.items()})
    return draw(st.lists(row, max_size=max_size))


def modelled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What rows become in a table: every key everywhere, in first-seen order, missing ones None."""
    return _structs([dict(row) for row in rows])


def _structs(rows: list[Any]) -> list[Any]:
    names = dict.fromkeys(name for row in rows if row is not None for name in row)
    columns = {name: _column([None if row is None else row.get(name) for row in rows]) for name in names}
    return [None if row is None else {name: columns[name][at] for name in names} for at, row in enumerate(rows)]


def _column(column: list[Any]) -> list[Any]:
    present = [value for value in column if value is not None]
    if present and isinstance(present[0], dict):
        return _structs(column)
    if present and isinstance(present[0], list):
        flat = iter(_column([item for value in present for item in value]))
        return [None if value is None else [next(flat) for _ in value] for value in column]
    if any(isinstance(value, float) for value in present):
        return [None if value is None else float(value) for value in column]
    return column


def same(left: Any, right: Any) -> bool:
    """Equality under which NaN equals NaN, -0.0 differs from 0.0, and 1 from 1.0 and True; keys in order."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
