"""Same rows, same bytes, whatever became of the arrays before."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_support import encoded, json_rows, modelled, same

from forebay.errors import InputError
from forebay.table import ipc
from forebay.table.building import build_columns
from forebay.table.canonical import canonical
from forebay.table.casting import arrow_type, type_json
from forebay.table.pythonic import rows_of

CASES: list[pa.Array] = [
    pa.array([1, None, 3]),
    pa.array([None, "a", "bcd", None, ""]),
    pa.array([[1, None], None, [], [3]]),
    pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]),
    pa.array([[{"a": [1.5]}, None], None]),
    pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)),
    pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    pa.array([True, None, False] * 5),
    pa.array([1.5, float("nan"), None, -0.0]),
    pa.array([None, None]),
    pa.array([b"a", None, b""]),
    pa.array([b"abc", None], pa.binary(3)),
    pa.array([{}, {}, None], pa.struct([])),
    pa.array([date(2020, 1, 1), None]),
    pa.array([datetime(2020, 1, 1, 12), None], pa.timestamp("us", "UTC")),
    pa.array([timedelta(seconds=1), None], pa.duration("ms")),
    pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
    pa.array([1, None], pa.uint8()),
    pa.array([], pa.string()),
    pa.array([], pa.list_(pa.struct([("a", pa.int64())]))),
]
IDS = [f"{at}-{str(case.type).split('<')[0]}" for at, case in enumerate(CASES)]


def one(array: pa.Array | pa.ChunkedArray) -> bytes:
    return encoded(pa.table({"x": array}))


def dirty(array: pa.Array) -> pa.Array:
    """Return the array with other values under its nulls, where Arrow lets us."""
    filler = next((value for value in array if value.is_valid), None)
    if filler is None or not array.null_count:
        return array
    full = pa.concat_arrays([pa.array([filler.as_py()], array.type)] * len(array))
    mask = pc.if_else(pc.is_valid(array), array, full)
    buffers = mask.buffers()
    if pa.types.is_nested(array.type) or mask.null_count:
        return array
    validity = pa.py_buffer(np.packbits(array.is_valid().to_numpy(zero_copy_only=False), bitorder="little"))
    return pa.Array.from_buffers(array.type, len(array), [validity, *buffers[1:]])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_history_does_not_show(case: pa.Array) -> None:
    want = one(case)
    assert one(pa.concat_arrays([case, case, case]).slice(len(case), len(case))) == want
    assert one(pa.chunked_array([case[:1], case[1:]], case.type)) == want
    assert one(case.take(pa.array(range(len(case)), pa.int64()))) == want
    assert one(dirty(case)) == want
    assert one(ipc.decode(want).column("x")) == want


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_values_and_types_survive(case: pa.Array) -> None:
    made = canonical(case)
    made.validate(full=True)
    assert made.offset == 0
    back = ipc.decode(one(case)).column("x").chunk(0)
    assert back.type == made.type == arrow_type(type_json(made.type))
    assert all(map(same, back.to_pylist(), case.to_pylist()))


def test_ways_to_write_text_are_one() -> None:
    plain = pa.array(["a", None, "a", "ü"])
    want = one(plain)
    assert one(plain.cast(pa.large_string())) == want
    assert one(plain.cast(pa.string_view())) == want
    assert one(plain.dictionary_encode()) == want
    assert one(pc.run_end_encode(plain)) == want


def test_ways_to_write_lists_are_one() -> None:
    plain = pa.array([[1, 2], None, [], [3]])
    want = one(plain)
    assert one(plain.cast(pa.large_list(pa.int64()))) == want
    assert one(pa.array([[1, 2], None, [], [3]], pa.list_view(pa.int64()))) == want
    assert one(pa.array([[1, 2], None, [], [3]], pa.list_(pa.field("element", pa.int64(), nullable=False)))) == want


def test_nulls_hide_their_children() -> None:
    shown = pa.StructArray.from_arrays([pa.array([1, 2]), pa.array(["x", "y"])], ["a", "b"])
    hidden = pa.StructArray.from_buffers(shown.type, 2, [pa.py_buffer(b"\x01")], 1, 0, [shown.field(0), shown.field(1)])
    assert one(hidden) == one(pa.array([{"a": 1, "b": "x"}, None]))


def test_every_nan_is_one_and_zeros_are_two() -> None:
    strange = np.array([0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    assert one(pa.array(strange)) == one(pa.array([float("nan")] * 2, from_pandas=False))
    assert one(pa.array([0.0])) != one(pa.array([-0.0]))


def test_metadata_and_nullability_do_not_count() -> None:
    field = pa.field("x", pa.int64(), nullable=False, metadata={"a": "b"})
    assert encoded(pa.table([pa.array([1])], pa.schema([field], {"pandas": "{}"}))) == one(pa.array([1]))


def test_unions_and_twin_names_are_refused() -> None:
    mixed = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(InputError, match="column 'x': values of type"):
        one(mixed)
    with pytest.raises(InputError, match="named twice: a"):
        encoded(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]))


def test_no_columns_still_count_rows() -> None:
    rows = pa.table({"x": pa.nulls(3)}).select([])
    assert ipc.decode(encoded(rows)).num_rows == 3


def test_decoding_copies_nothing() -> None:
    data = encoded(pa.table({"x": [1, 2, 3]}))
    buffer = ipc.decode(memoryview(data)).column("x").chunk(0).buffers()[1]
    start = pa.py_buffer(data).address
    assert start <= buffer.address < start + len(data)


@settings(max_examples=150)
@given(json_rows(), st.data())
def test_random_rows(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    table = pa.table(build_columns(rows)) if any(rows) else pa.table({})
    want = modelled(rows) if table.num_columns else []
    assert same(rows_of(ipc.decode(encoded(table))), want)
    if want:
        cut = data.draw(st.integers(0, len(rows)))
        parts = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
        assert encoded(parts) == encoded(table)


SCRIPT = """
import pyarrow as pa
from blake3 import blake3
from forebay.table import ipc
rows = [{"text": f"row {i}", "tags": ["a"] * (i % 3), "meta": {"x": i / 3, "y": None}} for i in range(100)]
print(blake3(memoryview(ipc.encode(pa.Table.from_pylist(rows)))).hexdigest())
"""


def test_two_processes_agree() -> None:
    def digest(seed: str) -> bytes:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run([sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True).stdout

    assert digest("1") == digest("2") != b""
