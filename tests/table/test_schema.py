"""Types as data, their union, casting."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_support import column_types, same, values

from forebay.errors import SourceError
from forebay.table.building import MixedTypesError, build
from forebay.table.casting import arrow_schema, arrow_type, cast_array, cast_table, describe, type_json
from forebay.table.pythonic import rows_of
from forebay.table.schema import Column, Schema, TypeConflictError, depth, merge_types, type_text, union, union_keeping
from forebay.types import JSON


def schema(seen: str = "", **columns: JSON) -> Schema:
    return Schema(tuple(Column(name, kind, seen or None) for name, kind in columns.items()))


@pytest.mark.parametrize(
    ("left", "right", "want"),
    [
        ("null", "string", "string"),
        ("int64", "double", "double"),
        ("int32", "int64", "int64"),
        ("uint8", "int8", "int16"),
        ("uint32", "int64", "int64"),
        ("float", "double", "double"),
        ("int8", "float", "double"),
        ({"list": "null"}, {"list": "int64"}, {"list": "int64"}),
        (
            {"struct": [["a", "int64"]]},
            {"struct": [["b", "null"], ["a", "double"]]},
            {"struct": [["a", "double"], ["b", "null"]]},
        ),
        ({"timestamp": ["ms", None]}, {"timestamp": ["us", None]}, {"timestamp": ["us", None]}),
        ({"map": ["string", "null"]}, {"map": ["string", "bool"]}, {"map": ["string", "bool"]}),
        ({"fixed_list": ["int32", 3]}, {"fixed_list": ["double", 3]}, {"fixed_list": ["double", 3]}),
        ({"duration": "s"}, {"duration": "ns"}, {"duration": "ns"}),
    ],
)  # fmt: skip
def test_unions(left: JSON, right: JSON, want: JSON) -> None:
    assert merge_types(left, right) == want
    assert arrow_type(want) == arrow_type(merge_types(right, left)) or "struct" in str(want)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("string", "int64"),
        ("bool", "int64"),
        ("uint64", "int64"),
        ("string", {"list": "string"}),
        ({"timestamp": ["ms", "UTC"]}, {"timestamp": ["ms", None]}),
        ({"fixed_list": ["int32", 3]}, {"fixed_list": ["int32", 4]}),
        ({"decimal": [128, 10, 2]}, {"decimal": [128, 12, 2]}),
    ],
)
def test_conflicts(left: JSON, right: JSON) -> None:
    with pytest.raises(TypeConflictError):
        merge_types(left, right)


def test_a_conflict_names_both_places_and_the_path() -> None:
    one = schema("a.jsonl:3", meta={"struct": [["n", {"list": "int64"}]]})
    other = schema("b.jsonl:9", meta={"struct": [["n", {"list": "string"}]]})
    with pytest.raises(SourceError) as found:
        union([one, other])
    assert str(found.value) == ("column 'meta.n[]' is int64 in a.jsonl:3 but string in b.jsonl:9; make them one type")


def test_union_over_shards_keeps_first_places_and_order() -> None:
    found = union([schema("x:1", b="null", a="int64"), schema("x:9", c="string", a="double", b="bool")])
    assert found == Schema((Column("b", "bool", "x:9"), Column("a", "double", "x:1"), Column("c", "string", "x:9")))


def test_conflicting_shards_can_be_left_out() -> None:
    found, conflicts = union_keeping([schema(a="int64"), schema(a="string", z="bool"), schema(b="bool")])
    assert found.names == ("a", "b")
    assert [conflict.shard for conflict in conflicts] == [1]


def test_located_rows() -> None:
    found = Schema((Column("a", "int64", 4), Column("b", "null"))).located("f.jsonl", 11)
    assert [column.seen for column in found.columns] == ["f.jsonl:15", None]


def test_gap_is_what_casting_changes() -> None:
    table = schema(a="double", b="string", c="bool")
    assert table.gap(schema(a="double", b="string", c="bool")) is None
    assert table.gap(schema(a="int64", b="string", c="bool")) == [["a", "double"]]
    assert table.gap(schema(b="string", a="double", c="bool")) == [["a", "double"], ["b", "string"], ["c", "bool"]]
    assert table.gap(schema(a="int64", b="string"), ["c", "a"]) == [["c", "bool"], ["a", "double"]]
    assert table.gap(schema(a="int64", b="string"), ["b"]) is None


def test_json_round_trip_and_refusals() -> None:
    given = Schema((Column("a", {"list": "int64"}, 3), Column("b", "null")))
    assert Schema.from_json(given.to_json()) == given
    with pytest.raises(ValueError, match="not a schema"):
        Schema.from_json({})
    with pytest.raises(ValueError, match="not a column"):
        Schema.from_json([1])
    with pytest.raises(ValueError, match="not a type"):
        arrow_type("strange")
    with pytest.raises(ValueError, match="not a field"):
        arrow_type({"struct": [1]})


def test_types_are_spelt_for_people() -> None:
    kind: JSON = {"struct": [["a", {"list": "double"}], ["m", {"map": ["string", {"fixed_list": ["int8", 2]}]}]]}
    assert type_text(kind) == "struct<a: list<float>, m: map<string, list<int8>[2]>>"
    assert type_text({"timestamp": ["us", "UTC"]}) == "timestamp[us, UTC]"
    assert depth(kind) == 3


def test_casting_fills_what_is_missing() -> None:
    rows = pa.table({"m": build([{"x": 1}, None]), "n": build([1, 2])})
    target = schema(n="double", new="string", m={"struct": [["y", {"list": "int64"}], ["x", "double"]]})
    assert rows_of(cast_table(rows, target)) == [
        {"n": 1.0, "new": None, "m": {"y": None, "x": 1.0}},
        {"n": 2.0, "new": None, "m": None},
    ]


def test_casting_that_loses_is_refused() -> None:
    with pytest.raises(SourceError, match="column 'a': cannot turn string into int64"):
        cast_table(pa.table({"a": build(["x"])}), schema(a="int64"))


def test_no_columns_keep_their_rows() -> None:
    assert cast_table(pa.table({"a": build([1, 2])}), schema()).num_rows == 2


def test_a_schema_is_arrows() -> None:
    arrow = pa.schema([("a", pa.list_(pa.timestamp("us", "UTC"))), ("b", pa.decimal256(50, 3)), ("c", pa.time32("s"))])
    assert arrow_schema(describe(arrow)) == arrow


@given(column_types, st.data())
def test_casting_to_the_union_is_building_together(kind: Any, data: st.DataObject) -> None:
    one = data.draw(st.lists(values(kind), max_size=5))
    other = data.draw(st.lists(values(kind), max_size=5))
    whole = build([*one, *other])
    left, right = build(one), build(other)
    merged = arrow_type(merge_types(type_json(left.type), type_json(right.type)))
    assert merged == whole.type
    parts = [cast_array(left, merged), cast_array(right, merged)]
    for part in parts:
        part.validate(full=True)
    assert same(pa.chunked_array(parts, merged).to_pylist(), whole.to_pylist())


@given(
    st.lists(st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(0, 1), st.text(max_size=2)), max_size=6)
)
def test_mixed_values_are_refused_and_nothing_else(column: list[Any]) -> None:
    kinds = {type(value) for value in column if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        with pytest.raises(MixedTypesError):
            build(column)
    else:
        want = [float(v) if v is not None and kinds == {int, float} else v for v in column]
        assert same(build(column).to_pylist(), want)
