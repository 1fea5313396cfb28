"""Shards as data: states, JSON."""

from __future__ import annotations

import subprocess
import sys

import pytest

from forebay.table import Layer, Shard
from forebay.table.shard import ref_from_json
from forebay.types import Digest, ObjectRef


def ref(name: str, role: str = "x") -> ObjectRef:
    return ObjectRef(role, Digest(name.ljust(64, "0")), 10)


def layer(kind: str, columns: str = "", rows: int = 4, name: str = "") -> Layer:
    names = tuple(columns.split())
    return Layer(kind, names, rows, None if kind == "drop" else ref(name or f"{kind}{columns}"))  # type: ignore[arg-type]


BASE = Shard(ref("b"), 4)


def test_visible_rows_are_those_of_the_last_layer() -> None:
    assert BASE.visible_rows == 4
    assert BASE.with_layer(layer("select", rows=2), layer("stats", "n", rows=2)).visible_rows == 2


def test_json_round_trip() -> None:
    shard = BASE.with_layer(layer("patch", "a b"), layer("drop", "c"), layer("select", rows=3), layer("stats", "s", 3))
    assert Shard.from_json(shard.to_json()) == shard


@pytest.mark.parametrize("broken", [None, {}, {"base": ["x"], "rows": 1, "layers": []}, {"base": 1, "rows": 1}])
def test_broken_json_is_refused(broken: object) -> None:
    with pytest.raises(ValueError, match="not a"):
        Shard.from_json(broken)  # type: ignore[arg-type]


def test_broken_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="not a layer"):
        Layer.from_json({"kind": "magic", "columns": [], "rows": 1})
    with pytest.raises(ValueError, match="not an object's reference"):
        ref_from_json(["base", 1, 2])


def test_only_layers_on_the_columns_read_count() -> None:
    changed = BASE.with_layer(layer("patch", "a"))
    assert changed.state() != BASE.state()
    assert changed.state(["a"]) != BASE.state(["a"])
    assert changed.state(["b"]) == BASE.state(["b"])


def test_selections_always_count_and_statistics_never() -> None:
    assert BASE.with_layer(layer("select", rows=2)).state(["b"]) != BASE.state(["b"])
    measured = BASE.with_layer(layer("stats", "a"))
    assert measured.state() == BASE.state()
    assert measured.state(["a"]) == BASE.state(["a"])


def test_content_counts_not_history() -> None:
    dense = layer("columns", "a")
    assert BASE.with_layer(layer("patch", "a"), dense).state(["a"]) == BASE.with_layer(dense).state(["a"])
    assert BASE.with_layer(layer("patch", "a b"), dense).state(["b"]) != BASE.with_layer(dense).state(["b"])
    fresh = layer("rows", "a")
    others = Shard(ref("other"), 9).with_layer(layer("select", rows=1), fresh)
    assert BASE.with_layer(layer("patch", "a"), fresh).state() == others.state()


def test_order_of_columns_is_content() -> None:
    one = BASE.with_layer(layer("columns", "a"), layer("columns", "b"), layer("columns", "a", name="again"))
    other = BASE.with_layer(layer("columns", "b"), layer("columns", "a", name="again"))
    assert one.state() != other.state()


def test_kinds_and_orders_do_not_mix() -> None:
    states = {
        BASE.with_layer(*layers).state()
        for layers in [
            (),
            (layer("patch", "a", name="o"),),
            (layer("columns", "a", name="o"),),
            (layer("select", name="o"),),
            (layer("drop", "a"),),
            (layer("drop", "b"),),
            (layer("select", name="o"), layer("patch", "a", name="p")),
            (layer("patch", "a", name="p"), layer("select", name="o")),
        ]
    }
    assert len(states) == 8


def test_objects_are_all_that_reading_takes() -> None:
    shard = BASE.with_layer(layer("patch", "a"), layer("drop", "c"), layer("stats", "s"))
    assert [it.digest[0] for it in shard.objects()] == ["b", "p", "s"]


def test_planning_imports_no_arrays() -> None:
    code = (
        "import sys; from forebay.table import Schema, Shard, export, sources;"
        "print(sorted({'numpy', 'pyarrow', 'orjson', 'pandas', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.strip() == b"[]"


def test_tables_import_no_pandas() -> None:
    code = """
import sys, pyarrow
from forebay.table import Layer, Schema, layers, pythonic, reading, rendering
lines = b"".join(b'{"a": "x%d", "b": [1, null], "c": {"d": %d.5}, "n": 0}\\n' % (at, at) for at in range(9))
rows = reading.read_lines(lines, reading.ReadOptions()).table
drafts = layers.diff(rows, {name: rows.column(name).take(rows.column("n")) for name in "abc"})
assert [draft.layer.kind for draft in drafts] == ["columns"]
changed = layers.apply(rows, drafts + layers.select([True] * 4 + [False] * 5))
assert rendering.render(changed)
print(sorted({'pandas', 'datasets'} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.strip() == b"[]"
