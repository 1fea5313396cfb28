"""What a user's function gives becomes columns that hold just that: no value cut, no type adrift, nothing by chance."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pytest
from pipeline_support import Bench

from forebay.errors import BuildError

OPS = """
import sys

import numpy as np
import pyarrow as pa

def touch(row):
    row["k"] = row["k"] + 1
    return row

def twice(row):
    return [row, dict(row)]

def twice_batch(batch):
    rows = [row for row in range(len(batch["k"])) for _ in (0, 1)]
    return {"__parent": rows, **{name: [values[row] for row in rows] for name, values in batch.items()}}

def later(row):
    row["c"] = row["c"] if row["k"] else None
    return row

def copied(row):
    return {"k": row["k"], "new": row["c"]}

def more(row):
    row["c"] = row["c"] + 1.5
    return row

def empty(row):
    return [{}]

def times(batch):
    return {**batch, "v": np.full(len(batch["k"]), "2020-01-01", "M8[ns]")}

def tuples(row):
    return {"v": (1, 2) if row["k"] % 2 else [1]}

def sets(row):
    return {"v": {"a", "b"}}

def sets_below(row):
    return {"v": [({"a", "b"},)]}

def letters(batch):
    return {"v": "abcd"}

def none(batch):
    return {"v": None}

def number(row):
    return {**row, 1: 2}

def large(row):
    return {"v": 2**63}

def leaves(row):
    sys.exit(3)

class Quitting:
    def __init__(self):
        raise SystemExit
    def __call__(self, row):
        return row

class Unmade:
    def __init__(self):
        raise ValueError("no model")
    def __call__(self, row):
        return row

async def verdict(row):
    return False

def verdicts(row):
    yield False

def lines(row):
    raise ValueError("one\\ntwo")

def silent(row):
    raise AssertionError

def parity(row):
    return np.int64(row["k"] % 2)

def parity_of_kinds(row):
    return np.str_("same") if row["k"] % 2 else "same"

def snowflake(row):
    return 2**60 + row["k"]

def mixed(row):
    return 2**60 + row["k"] if row["k"] % 2 else row["k"] + 0.5

def nothing(row):
    return None if row["k"] == 2 else 1
"""

K = pa.array([0, 1, 2, 3])
COLUMNS = {
    "uint64": pa.array([2**64 - 1, 0, None, 1], pa.uint64()),
    "int8": pa.array([1, None, 3, 4], pa.int8()),
    "float": pa.array([1.1, None, float("nan"), -0.0], pa.float32()),
    "date64": pa.array([datetime.date(2020, 1, 1), None, None, None], pa.date64()),
    "seconds": pa.array([1, None, 2, 3], pa.time32("s")),
    "decimal": pa.array([Decimal("1.10"), None, Decimal("2.00"), Decimal("-3.3")], pa.decimal128(10, 2)),
    "fixed binary": pa.array([b"ab", None, b"cd", b"ef"], pa.binary(2)),
    "map": pa.array([[("k", 1)], None, [], [("a", None), ("b", 2)]], pa.map_(pa.string(), pa.int64())),
    "fixed list": pa.array([[1, 2], None, [3, 4], [5, None]], pa.list_(pa.int64(), 2)),
    "list of floats": pa.array([[1.1], None, [], [None]], pa.list_(pa.float32())),
    "list of uint64": pa.array([[2**63], None, [], [None]], pa.list_(pa.uint64())),
    "struct": pa.array([{"a": 2**63, "b": 1}, None, {"a": None, "b": 2}, {"a": 1, "b": None}],
                       pa.struct([("a", pa.uint64()), ("b", pa.int16())])),
    "map in a struct": pa.array([{"m": [("a", 1)]}, None, None, None],
                                pa.struct([("m", pa.map_(pa.string(), pa.int32()))])),
}  # fmt: skip
NANOSECONDS = {
    "timestamp": pa.array([1, None, 10**18 + 1, -1], pa.timestamp("ns")),
    "timestamp with zone": pa.array([1, None, 2, -1], pa.timestamp("ns", "UTC")),
    "duration": pa.array([1, None, 1001, 3], pa.duration("ns")),
}


@pytest.fixture
def bench(bench: Bench) -> Bench:
    (bench.folder / "ops.py").write_text(OPS)
    return bench


def column(bench: Bench, values: pa.Array, kind: str, function: str, name: str = "c", **options: Any) -> pa.Array:
    feather.write_feather(pa.table({"k": K, "c": values}), bench.folder / "typed.arrow")
    out = bench.folder / "out.arrow"
    bench.run(bench.make(dataset_path=str(bench.folder / "typed.arrow"), export_path=str(out),
                         process=[{kind: {"function": f"ops.py:{function}", **options}}]))  # fmt: skip
    return feather.read_table(out, memory_map=False).column(name).combine_chunks()


class TestTypes:
    @pytest.mark.parametrize("name", COLUMNS)
    @pytest.mark.parametrize(
        ("kind", "function", "options"),
        [("mapper", "touch", {}), ("flat_mapper", "twice", {}), ("flat_mapper", "twice_batch", {"input": "batch"})],
    )
    def test_a_column_handed_on_is_the_column(
        self, bench: Bench, name: str, kind: str, function: str, options: dict[str, Any]
    ) -> None:
        given = COLUMNS[name]
        found = column(bench, given, kind, function, **options)
        want = given if kind == "mapper" else given.take(pa.array([0, 0, 1, 1, 2, 2, 3, 3]))
        assert found.type == want.type
        assert repr(found.to_pylist()) == repr(want.to_pylist())

    @pytest.mark.parametrize("name", NANOSECONDS)
    def test_nanoseconds_are_not_cut(self, bench: Bench, name: str) -> None:
        pytest.importorskip("pandas")
        given = NANOSECONDS[name]
        counts = [1, None, given[2].value, given[3].value]
        assert column(bench, given, "flat_mapper", "twice").cast(pa.int64()).to_pylist()[::2] == counts
        assert column(bench, given, "mapper", "later").cast(pa.int64()).to_pylist() == [None, None, *counts[2:]]
        assert column(bench, given, "mapper", "copied", "new").cast(pa.int64()).to_pylist() == counts

    def test_what_the_type_does_not_hold_has_its_own(self, bench: Bench) -> None:
        found = column(bench, pa.array([1, 2, 3, 127], pa.int8()), "mapper", "more")
        assert found.to_pylist() == [2.5, 3.5, 4.5, 128.5]

    def test_arrays_of_times_are_times(self, bench: Bench) -> None:
        found = column(bench, K, "mapper", "times", "v", input="batch")
        assert found.type == pa.timestamp("ns")

    def test_rows_without_columns(self, bench: Bench) -> None:
        bench.steps = [{"flat_mapper": {"function": "ops.py:empty"}}]
        assert bench.run().rows_out == len(bench.rows)
        assert set(bench.out.read_text().splitlines()) == {"{}"}

    def test_tuples_are_lists(self, bench: Bench) -> None:
        assert column(bench, K, "mapper", "tuples", "v").to_pylist() == [[1], [1, 2], [1], [1, 2]]


class TestRefusals:
    @pytest.mark.parametrize(
        ("kind", "function", "options", "says"),
        [
            ("mapper", "sets", {}, "column 'v': a set, whose order differs"),
            ("mapper", "sets_below", {}, "column 'v': a set, whose order differs"),
            ("mapper", "letters", {"input": "batch", "batch_size": 4}, "column 'v' is no list of values, but str"),
            ("mapper", "none", {"input": "batch"}, "column 'v' is no list of values, but NoneType"),
            ("mapper", "number", {}, "a column's name is text, not 1"),
            ("mapper", "large", {}, "column 'v': the integer 9223372036854775808 does not fit 64 bits"),
            ("mapper", "leaves", {}, r"leaves raised SystemExit at .*typed.arrow row 1 .*: 3"),
            ("mapper", "Unmade", {}, "operator 1 Unmade raised ValueError as it was made: no model"),
            ("mapper", "Quitting", {}, "operator 1 Quitting raised SystemExit as it was made"),
            ("deduplicator", "Unmade", {}, "operator 1 Unmade raised ValueError as it was made: no model"),
            ("filter", "verdict", {}, "an async function gives no values"),
            ("filter", "verdicts", {}, "a filter returns true or false, not a generator"),
            ("mapper", "lines", {}, r": one two$"),
            ("mapper", "silent", {}, r"AssertionError at .*\)$"),
            ("selector", "nothing", {"top": 2}, "TypeError at .*typed.arrow row 3"),
        ],
    )
    def test_what_would_be_wrong_or_by_chance(
        self, bench: Bench, kind: str, function: str, options: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(BuildError, match=says) as caught:
            column(bench, K, kind, function, **options)
        assert "\n" not in str(caught.value)


class TestNumbers:
    @pytest.mark.parametrize(("function", "kept"), [("parity", [0, 1]), ("parity_of_kinds", [0])])
    def test_numpys_scalars_are_keys_as_pythons(self, bench: Bench, function: str, kept: list[int]) -> None:
        assert column(bench, K, "deduplicator", function, "k").to_pylist() == kept

    @pytest.mark.parametrize(
        ("function", "largest", "kept"),
        [("snowflake", True, [3]), ("snowflake", False, [0]), ("mixed", True, [3]), ("mixed", False, [0])],
    )
    @pytest.mark.parametrize("shard_bytes", [8, 4000])
    def test_scores_that_no_float_holds(
        self, bench: Bench, function: str, largest: bool, kept: list[int], shard_bytes: int
    ) -> None:
        bench.recipe["shard_bytes"] = shard_bytes
        found = column(bench, K, "selector", function, "k", top=1, largest=largest)
        assert found.to_pylist() == kept
