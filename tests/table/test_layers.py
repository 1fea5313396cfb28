"""Layers: what is stored for a change, and that composing gives the rows back."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_support import Memory, column_types, encoded, same, values

from forebay.errors import InputError, NotFoundError
from forebay.table import Column, Schema, Shard, layers
from forebay.table.buffers import array_of
from forebay.table.building import build
from forebay.table.canonical import canonical
from forebay.table.difference import differing
from forebay.table.pythonic import rows_of
from forebay.table.shard import INLINE_BYTES


def table(**columns: list[Any]) -> pa.Table:
    return pa.table({name: build(column) for name, column in columns.items()})


def put(objects: Memory, shard: Shard, drafts: list[layers.Draft]) -> Shard:
    return shard.with_layer(*(draft.stored(objects.put) for draft in drafts))


def kinds(drafts: list[layers.Draft]) -> list[tuple[str, tuple[str, ...]]]:
    return [(draft.layer.kind, draft.layer.columns) for draft in drafts]


TEN = table(text=[f"row {at}" for at in range(10)], n=list(range(10)))


def changed(**edits: dict[int, Any]) -> dict[str, pa.Array]:
    made: dict[str, pa.Array] = {}
    for name, edit in edits.items():
        column = TEN.column(name).to_pylist()
        for at, value in edit.items():
            column[at] = value
        made[name] = build(column)
    return made


class TestDiff:
    def test_nothing_changed_nothing_stored(self) -> None:
        assert layers.diff(TEN, {}) == []
        assert layers.diff(TEN, {"text": TEN.column("text"), "n": build(list(range(10)))}) == []
        assert layers.diff(TEN, {"absent": None}) == []

    def test_few_rows_make_a_patch(self, objects: Memory) -> None:
        drafts = layers.diff(TEN, changed(text={3: "new", 7: None}, n={}))
        assert kinds(drafts) == [("patch", ("text",))]
        rows = layers.load(objects, put(objects, objects.shard(TEN), drafts))
        assert rows.column("text").to_pylist()[2:4] == ["row 2", "new"]
        assert rows.column("text").to_pylist()[7] is None
        assert rows.column("n").to_pylist() == list(range(10))

    def test_columns_with_one_set_of_rows_share_a_patch(self) -> None:
        assert kinds(layers.diff(TEN, changed(text={3: "new"}, n={3: 9}))) == [("patch", ("text", "n"))]
        assert kinds(layers.diff(TEN, changed(text={3: "new"}, n={4: 9}))) == [("patch", ("text",)), ("patch", ("n",))]

    def test_most_rows_make_a_column(self) -> None:
        drafts = layers.diff(TEN, changed(text=dict.fromkeys(range(9), "new")))
        assert kinds(drafts) == [("columns", ("text",))]

    def test_new_columns_keep_the_mappers_order(self, objects: Memory) -> None:
        drafts = layers.diff(TEN, {"z": build([1] * 10), "a": build([None] * 10), "n": None})
        assert kinds(drafts) == [("drop", ("n",)), ("columns", ("z", "a"))]
        assert layers.load(objects, put(objects, objects.shard(TEN), drafts)).column_names == ["text", "z", "a"]

    def test_another_type_is_another_column(self) -> None:
        assert kinds(layers.diff(TEN, {"n": build([float(at) for at in range(10)])})) == [("columns", ("n",))]

    def test_how_arrow_holds_values_does_not_matter(self) -> None:
        text = TEN.column("text").cast(pa.large_string())
        assert layers.diff(TEN, {"text": text.combine_chunks().dictionary_encode()}) == []

    def test_signs_of_zero_count_and_nans_do_not(self) -> None:
        before = table(x=[0.0, float("nan"), 1.0])
        assert layers.diff(before, {"x": build([0.0, float("nan"), 1.0])}) == []
        assert kinds(layers.diff(before, {"x": build([-0.0, float("nan"), 1.0])})) == [("patch", ("x",))]

    def test_wrong_results_are_refused(self) -> None:
        with pytest.raises(InputError, match="'n' has 2 values for 10 rows"):
            layers.diff(TEN, {"n": build([1, 2])})
        with pytest.raises(InputError, match="'__row' is reserved"):
            layers.diff(TEN, {"__row": build([1] * 10)})


class TestOthers:
    def test_selections(self, objects: Memory) -> None:
        assert layers.select(np.ones(5, np.bool_)) == []
        (draft,) = layers.select([True] * 3 + [False] * 7)
        assert (draft.layer.rows, draft.payload) == (3, b"\x07\x00")
        shard = put(objects, objects.shard(TEN), [draft])
        shard = put(objects, shard, layers.select([False, True, True]))
        assert layers.load(objects, shard).column("n").to_pylist() == [1, 2]
        nothing = put(objects, shard, layers.select([False, False]))
        assert layers.load(objects, nothing).num_rows == 0
        assert layers.load(objects, nothing, ["n"]).schema == layers.load(objects, shard, ["n"]).schema

    def test_a_patch_counts_the_rows_visible_then(self, objects: Memory) -> None:
        shard = put(objects, objects.shard(TEN), layers.select([at % 2 == 1 for at in range(10)]))
        rows = layers.load(objects, shard)
        column = rows.column("text").to_pylist()
        column[1] = "third"
        shard = put(objects, shard, layers.diff(rows, {"text": build(column)}))
        shard = put(objects, shard, layers.select([False, True, True, True, False]))
        assert layers.load(objects, shard).to_pydict() == {"text": ["third", "row 5", "row 7"], "n": [3, 5, 7]}

    def test_new_rows_replace_all(self, objects: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(layers, "INLINE_BYTES", -1)
        drafts = layers.rows(table(piece=["a", "b", "c"]), [0, 0, 9], TEN)
        shard = put(objects, objects.shard(TEN), drafts)
        objects.reads.clear()
        assert layers.load(objects, shard).to_pydict() == {"piece": ["a", "b", "c"]}
        assert len(objects.reads) == 1  # what lies below is not read

    def test_new_rows_that_are_the_old_are_not_stored(self) -> None:
        assert layers.rows(TEN, range(10), TEN) == []
        assert len(layers.rows(TEN, [0] * 10, TEN)) == 1

    def test_new_rows_need_their_parents(self) -> None:
        with pytest.raises(InputError, match="3 new rows with 2 parents"):
            layers.rows(table(a=[1, 2, 3]), [0, 1])
        with pytest.raises(InputError, match="ascending"):
            layers.rows(table(a=[1, 2]), [1, 0])
        with pytest.raises(InputError, match="parent number 10 among 10 rows"):
            layers.rows(table(a=[1]), [10], TEN)
        with pytest.raises(InputError, match="reserved"):
            layers.rows(table(__parent=[1]), [0])

    def test_no_new_rows_at_all(self, objects: Memory) -> None:
        shard = put(objects, objects.shard(TEN), layers.rows(TEN.slice(0, 0).select([]), [], TEN))
        assert layers.load(objects, shard).num_rows == 0
        assert shard.visible_rows == 0

    def test_statistics_follow_their_rows(self, objects: Memory) -> None:
        shard = put(objects, objects.shard(TEN), layers.stats({"len": build(list(range(10)))}, 10))
        shard = put(objects, shard, layers.select([at >= 6 for at in range(10)]))
        shard = put(objects, shard, layers.stats({"words": build([1, 2, 3, 4])}, 4))
        shard = put(objects, shard, layers.rows(table(piece=["a", "b", "c"]), [0, 3, 3]))
        assert layers.load_stats(objects, shard).to_pydict() == {"len": [6, 9, 9], "words": [1, 4, 4]}
        assert layers.load(objects, shard).column_names == ["piece"]
        assert layers.stats({}, 10) == []

    def test_only_what_is_needed_is_read(self, objects: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(layers, "INLINE_BYTES", -1)
        shard = objects.shard(TEN)
        shard = put(objects, shard, layers.diff(TEN, changed(text={1: "x"})))
        shard = put(objects, shard, layers.diff(TEN, changed(n={2: 0})))
        shard = put(objects, shard, layers.diff(TEN, {"fresh": build([0] * 10)}))
        read = [layer.object.digest for layer in shard.layers if layer.object]

        def reads(*columns: str) -> list[str]:
            objects.reads.clear()
            layers.load(objects, shard, columns)
            return objects.reads

        assert reads("n") == [shard.base.digest, read[1]]
        assert reads("fresh") == [read[2]]
        replaced = put(objects, shard, layers.diff(TEN, changed(text=dict.fromkeys(range(10), "z"))))
        objects.reads.clear()
        layers.load(objects, replaced)
        assert read[0] not in objects.reads  # the patch was replaced as a whole

    @pytest.mark.parametrize("kept", [True, False])
    def test_what_is_small_stands_in_the_layer(self, objects: Memory, kept: bool) -> None:
        """And is the same content as where it is an object."""
        size = 8 * INLINE_BYTES + (0 if kept else 1)
        before = pa.table({"n": array_of(np.arange(size))})
        shard = objects.shard(before)
        drafts = layers.select(np.arange(size) % 3 == 0)
        here = put(objects, shard, drafts)
        assert (here.layers[0].inline is not None) == kept == (here.layers[0].object is None)
        there = shard.with_layer(drafts[0].layer.with_object(objects.put("select", cast("Any", drafts[0].payload))))
        assert here.state() == there.state() != shard.state()
        assert layers.load(objects, here) == layers.load(objects, there)
        assert Shard.from_json(json.loads(json.dumps(here.to_json()))) == here

    def test_columns_by_name(self, objects: Memory) -> None:
        shard = objects.shard(TEN)
        assert layers.load(objects, shard, ["n", "text"]).column_names == ["n", "text"]
        assert layers.load(objects, shard, []).num_rows == 10
        with pytest.raises(NotFoundError, match="no column 'x'; there are: text, n"):
            layers.load(objects, shard, ["x"])
        schema = Schema((Column("n", "double"), Column("x", "string")))
        assert layers.load(objects, shard, ["x", "n"], schema).schema == pa.schema(
            [("x", pa.string()), ("n", pa.float64())]
        )
        with pytest.raises(NotFoundError, match="no column 'text'"):
            layers.load(objects, shard, ["text"], schema)

    def test_untouched_columns_are_views(self, objects: Memory) -> None:
        shard = put(objects, objects.shard(TEN), layers.diff(TEN, changed(text={1: "x"})))
        data = pa.py_buffer(objects.read(shard.base.digest))
        buffer = layers.load(objects, shard).column("n").chunk(0).buffers()[1]
        assert data.address <= buffer.address < data.address + data.size


@st.composite
def edits(draw: st.DrawFn) -> tuple[dict[str, list[Any]], list[tuple[Any, ...]]]:
    """A table as columns of lists, and what operators did to it: ("map", {name: {row: value}}) …"""
    types = draw(st.dictionaries(st.sampled_from("abc"), column_types, min_size=1, max_size=3))
    rows = draw(st.integers(0, 12))
    columns = {name: draw(st.lists(values(kind), min_size=rows, max_size=rows)) for name, kind in types.items()}
    steps: list[tuple[Any, ...]] = []
    for _ in range(draw(st.integers(0, 5))):
        step = draw(st.sampled_from(["map", "new", "drop", "select", "rows", "stats"]))
        if step == "map" and rows:
            name = draw(st.sampled_from(sorted(types)))
            steps.append((step, name, draw(st.dictionaries(st.integers(0, rows - 1), values(types[name]), max_size=4))))
        elif step == "new":
            name, kind = draw(st.sampled_from("abcd")), draw(column_types)
            types[name] = kind
            steps.append((step, name, draw(st.lists(values(kind), min_size=rows, max_size=rows))))
        elif step == "drop" and len(types) > 1:
            name = draw(st.sampled_from(sorted(types)))
            del types[name]
            steps.append((step, name))
        elif step == "select":
            mask = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
            steps.append((step, mask))
            rows = sum(mask)
        elif step == "rows":
            parents = sorted(draw(st.lists(st.integers(0, rows - 1), max_size=8))) if rows else []
            steps.append((step, parents))
            rows = len(parents)
        elif step == "stats":
            steps.append((step, draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows))))
    return columns, steps


class _Model:
    """The same by plain lists of rows."""

    def __init__(self, columns: dict[str, list[Any]], rows: int) -> None:
        self.columns = {name: list(column) for name, column in columns.items()}
        self.stats: list[Any] | None = None
        self.rows = rows

    def keep(self, at: list[int]) -> None:
        self.columns = {name: [column[row] for row in at] for name, column in self.columns.items()}
        self.stats = None if self.stats is None else [self.stats[row] for row in at]
        self.rows = len(at)


def act(model: _Model, step: tuple[Any, ...], before: pa.Table) -> list[layers.Draft]:
    kind, *rest = step
    if kind == "map":
        name, edit = rest
        column = before.column(name).to_pylist()
        for at, value in edit.items():
            column[at] = value
        model.columns[name] = build(column).to_pylist()
        return layers.diff(before, {name: build(column)})
    if kind == "new":
        name, column = rest
        model.columns[name] = build(column).to_pylist()
        return layers.diff(before, {name: build(column)})
    if kind == "drop":
        del model.columns[rest[0]]
        return layers.diff(before, {rest[0]: None})
    if kind == "select":
        model.keep([at for at, bit in enumerate(rest[0]) if bit])
        return layers.select(rest[0])
    if kind == "rows":
        model.keep(rest[0])
        return layers.rows(before.take(pa.array(rest[0], pa.int64())), rest[0], before)
    model.stats = rest[0]
    return layers.stats({"stat": build(rest[0])}, before.num_rows)


@settings(max_examples=200)
@given(edits())
def test_random_operators_against_a_model(given_edits: tuple[dict[str, list[Any]], list[tuple[Any, ...]]]) -> None:
    columns, steps = given_edits
    objects = Memory()
    rows = table(**columns)
    model = _Model({name: rows.column(name).to_pylist() for name in columns}, rows.num_rows)
    shard = objects.shard(rows)
    for step in steps:
        drafts = act(model, step, rows)
        shard = put(objects, shard, drafts)
        rows = layers.apply(rows, drafts)
    loaded = layers.load(objects, shard)
    assert loaded.schema == rows.schema
    assert encoded(loaded) == encoded(rows)  # going on in memory is reading it back
    assert loaded.column_names == list(model.columns)
    want = [dict(zip(model.columns, row, strict=True)) for row in zip(*model.columns.values(), strict=True)]
    assert same(rows_of(loaded), want)
    for name in loaded.column_names:
        assert encoded(layers.load(objects, shard, [name])) == encoded(loaded.select([name]))
    if model.stats is not None:
        assert layers.load_stats(objects, shard).column("stat").to_pylist() == model.stats
    assert layers.load_stats(objects, shard).num_rows == shard.visible_rows == model.rows


@settings(max_examples=150)
@given(column_types, st.data())
def test_differing_is_elementwise(kind: Any, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, 6))
    left = data.draw(st.lists(values(kind), min_size=size, max_size=size))
    right = [data.draw(values(kind)) if data.draw(st.booleans()) else value for value in left]
    both = build([*left, *right])
    one, other = canonical(both[:size]), canonical(both[size:])
    want = [not same(a, b) for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True)]
    assert differing(one, other).tolist() == want
