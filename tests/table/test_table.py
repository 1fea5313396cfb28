"""Tables over a real store: made, read, handed on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_support import Memory, json_rows, modelled, same

from forebay.config import resolve
from forebay.errors import InputError, NotFoundError, SourceError
from forebay.store import Store
from forebay.table import Column, Schema, Shard, Table, layers, sources
from forebay.table.building import build, build_columns
from forebay.table.casting import describe
from forebay.table.rendering import render
from forebay.table.schema import union
from forebay.table.sources import ReadOptions

ROWS: list[dict[str, Any]] = [
    {"text": f"row {at} é\n" * (at % 7), "n": at, "tags": ["a"] * (at % 3), "m": {"x": None if at % 2 else at / 2}}
    for at in range(3000)
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(resolve({}, home=tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def table(store: Store) -> Table:
    return Table.from_arrow(store, pa.table(build_columns(ROWS)), "demo", shard_bytes=8000)


def test_what_it_is(table: Table) -> None:
    assert len(table) == table.num_rows == 3000
    assert table.column_names == ("text", "n", "tags", "m")
    assert table.schema.field("m").type == pa.struct([("x", pa.float64())])
    assert len(table.shards) > 5
    assert repr(table) == f"<Table 'demo': 3000 rows in {len(table.shards)} shards; text, n, tags, m>"


def test_rows(table: Table) -> None:
    assert list(table.iter_rows()) == ROWS
    assert table[0] == ROWS[0]
    assert table[-1] == ROWS[-1]
    assert table[5:2000] == ROWS[5:2000]
    assert table[::-700] == ROWS[::-700]
    assert table[7:3] == []
    assert [row["n"] for row in table.iter_rows(["n"])] == list(range(3000))
    for number in (3000, -3001):
        with pytest.raises(IndexError, match=f"row {number} of 3000"):
            table[number]
    with pytest.raises(InputError, match="rows have numbers, and 'text' is none"):
        table[cast("int", "text")]


def test_columns(table: Table) -> None:
    assert table.to_arrow().to_pylist() == ROWS
    assert table.to_arrow(["n", "text"]).column_names == ["n", "text"]
    assert sum(batch.num_rows for batch in table.iter_batches(["n"])) == 3000
    assert table.to_arrow([]).num_rows == 3000
    for read in (table.to_arrow, lambda names: table.shard(0, names)):
        with pytest.raises(NotFoundError, match="no column 'x'; there are: text, n, tags, m"):
            read(["x"])


def test_other_libraries(table: Table, store: Store) -> None:
    hf = table.to_hf()
    assert hf.to_list() == ROWS
    assert hf._fingerprint == table.to_hf()._fingerprint
    assert hf._fingerprint != table.to_hf(["n", "m"])._fingerprint  # else the library takes one's results for the other
    assert table.to_polars(["n", "m"]).to_dicts() == [{"n": row["n"], "m": row["m"]} for row in ROWS]
    assert table.to_pandas(["n"])["n"].tolist() == list(range(3000))
    shuffled = hf.shuffle(seed=1).select(range(50))
    assert list(Table.from_hf(store, shuffled).iter_rows()) == shuffled.to_list()


def test_to_hf_keeps_what_columns_mean(store: Store) -> None:
    datasets = pytest.importorskip("datasets")
    labels = datasets.ClassLabel(names=["bad", "good"])
    rows = [{"label": 1, "seen": [0, 1], "text": "a"}, {"label": 0, "seen": [], "text": "b"}]
    features = datasets.Features({"label": labels, "seen": datasets.Sequence(labels), "text": labels, "gone": labels})
    table = Table.from_rows(store, rows, "t")
    hf = table.to_hf(features=features)
    assert hf.features == {"label": labels, "seen": datasets.Sequence(labels), "text": datasets.Value("string")}
    assert hf.to_list() == rows
    assert hf._fingerprint != table.to_hf()._fingerprint


def test_to_hf_copies_nothing(table: Table, store: Store) -> None:
    before = pa.total_allocated_bytes()
    chunk = table.to_hf().data.column("n").chunk(0)
    taken = pa.total_allocated_bytes() - before
    base = pa.py_buffer(store.read(table.shards[0].base.digest))
    again = table.shard(0, ["n"]).column("n").chunk(0)
    assert base.size > again.buffers()[1].size
    assert chunk.buffers()[1].size == again.buffers()[1].size
    assert taken < table.to_arrow().nbytes


def test_manifests(table: Table, store: Store) -> None:
    manifest = json.loads(json.dumps(table.manifest()))
    again = Table.from_manifest(store, manifest, "again")
    assert list(again.iter_rows()) == ROWS
    assert again.state == table.state
    with pytest.raises(ValueError, match="not a table's manifest"):
        Table.from_manifest(store, [])


def test_the_store_keeps_it_as_one_entry(table: Table, store: Store) -> None:
    entry = store.get("table", table.state)  # type: ignore[arg-type]
    assert entry is not None
    assert store.complete(entry)
    assert (entry.dataset, entry.meta["rows"]) == ("demo", 3000)
    manifest = json.loads(bytes(store.read(entry.object("manifest").digest)))
    assert list(Table.from_manifest(store, manifest).iter_rows()) == ROWS


def test_the_same_rows_are_the_same_table(table: Table, store: Store) -> None:
    parts = pa.concat_tables([pa.table(build_columns(ROWS)).slice(at, 500) for at in range(0, 3000, 500)])
    assert Table.from_arrow(store, parts, "other", shard_bytes=8000).state == table.state
    edited = [*ROWS[:100], {**ROWS[100], "text": "edited"}, *ROWS[101:]]
    other = Table.from_arrow(store, pa.table(build_columns(edited)), shard_bytes=8000)
    assert other.state != table.state
    assert len({it.base.digest for it in other.shards} - {it.base.digest for it in table.shards}) <= 3


def test_rows_of_several_portions_agree_on_types(store: Store) -> None:
    rows: list[dict[str, Any]] = [{"a": at, "m": {}} for at in range(1500)] + [{"a": 0.5, "m": {"x": "y"}, "b": None}]
    made = Table.from_rows(store, rows)
    assert made.schema.field("a").type == pa.float64()
    assert made[1499] == {"a": 1499.0, "m": {"x": None}, "b": None}
    assert made[-1] == {"a": 0.5, "m": {"x": "y"}, "b": None}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1}, {"a": "x"}], "row 2: column 'a' is string but int64 before; make each column one type"),
        ([{"a": {"x", "y"}}], "row 1: column 'a': a value of type set"),
        ([{1: 2}], "a column's name is text, not 1; rename it"),
        ([{"a": 1}] * 1000 + [{"a": "x"}], "column 'a' is int64 in row 1 or after but string in row 1001 or after"),
        ([{"a": 2**70}], "row 1: column 'a': the integer 1180591620717411303424 does not fit 64 bits"),
        ([1], "row 1 is a int, not a dict"),
    ],
)
def test_rows_that_are_no_table(store: Store, rows: list[Any], message: str) -> None:
    with pytest.raises((SourceError, InputError), match=message):
        Table.from_rows(store, rows)
    assert list(store.entries()) == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("n", r"not a list of columns: 'n'; write \['n'\]"),
        (iter(["n"]), "not a list of columns: <.*>; give a list of names"),
        (3, "not a list of columns: 3; give a list of names"),
    ],
)
@pytest.mark.parametrize("rows", [ROWS, []])
def test_what_is_no_list_of_columns(store: Store, rows: list[Any], columns: Any, message: str) -> None:
    table = Table.from_rows(store, rows)
    with pytest.raises(InputError, match=message):
        table.to_arrow(columns)
    if rows:
        with pytest.raises(InputError, match=message):
            list(table.iter_rows(columns))


def test_a_column_that_is_asked_for_twice(store: Store) -> None:
    with pytest.raises(InputError, match="column 'n' is asked for twice"):
        Table.from_rows(store, ROWS).to_arrow(["n", "text", "n"])


def test_other_python_values(store: Store) -> None:
    from datetime import date

    rows = [{"day": date(2020, 1, 2), "raw": b"\x00\xff"}, {"day": None, "raw": None}]
    assert list(Table.from_rows(store, rows).iter_rows()) == rows


def test_no_rows(store: Store) -> None:
    assert Table.from_rows(store, []).to_arrow().num_rows == 0
    empty = Table.from_arrow(store, pa.schema([("a", pa.int64())]).empty_table())
    assert empty.to_arrow().schema == pa.schema([("a", pa.int64())])
    assert list(empty.iter_rows()) == list(empty.iter_batches()) == []
    assert empty.stats().num_rows == 0


def test_statistics() -> None:
    objects = Memory()
    shards: list[Shard] = []
    for start in (0, 2):
        shard = objects.shard(pa.table({"a": build([start, start + 1])}))
        names = ["len"] if start else ["len", "words"]
        drafts = layers.stats({name: build([start, start + 1]) for name in names}, 2) + layers.select([True, start > 0])
        shards.append(shard.with_layer(*(draft.stored(objects.put) for draft in drafts)))
    table = Table(objects, shards, Schema((Column("a", "int64"),)))
    assert table.stats().to_pydict() == {"len": [0, 2, 3], "words": [0, None, None]}
    assert table.to_arrow().to_pydict() == {"a": [0, 2, 3]}


@settings(max_examples=80)
@given(st.lists(json_rows(max_size=6), min_size=1, max_size=3), st.data())
def test_from_lines_to_lines(portions: list[list[dict[str, Any]]], data: st.DataObject) -> None:
    """Random rows as files, read as shards, selected and edited, exported: what plain Python says."""
    objects = Memory()
    shards: list[Shard] = []
    schemas: list[Schema] = []
    want: list[dict[str, Any]] = []
    from forebay.table.reading import read_lines

    try:
        whole = [row for portion in portions for row in portion]
        build_columns(whole)
    except ValueError:
        return  # portions that do not fit together are another test's
    for portion in portions:
        rows = read_lines(b"".join(json.dumps(row).encode() + b"\n" for row in portion), ReadOptions()).table
        shard = objects.shard(rows)
        mask = data.draw(st.lists(st.booleans(), min_size=len(portion), max_size=len(portion)))
        drafts = layers.select(mask)
        rows = layers.apply(rows, drafts)
        length = build(list(range(rows.num_rows))) if rows.num_rows else pa.nulls(0)
        drafts += layers.diff(rows, {"added": length})
        shard = shard.with_layer(*(draft.stored(objects.put) for draft in drafts))
        shards.append(Shard.from_json(json.loads(json.dumps(shard.to_json()))))
        schemas.append(describe(layers.load(objects, shard).schema))
        kept = [row for row, keep in zip(portion, mask, strict=True) if keep]
        want += [{**row, "added": at} for at, row in enumerate(kept)]
    schema = union(schemas)
    table = Table(objects, shards, schema)
    model = modelled([*(dict.fromkeys(schema.names) for _ in "x"), *want])[1:]
    exported = b"".join(bytes(render(table.shard(at))) for at in range(len(shards)))
    found = [json.loads(line) for line in exported.splitlines()]
    assert found == list(table.iter_rows())
    assert len(found) == len(model)
    for mine, theirs in zip(found, model, strict=True):
        assert same({name: _pruned(mine[name]) for name in mine}, {name: _pruned(theirs[name]) for name in mine})


def _pruned(value: Any) -> Any:
    """Without null fields, in any order, numbers as floats: which struct fields exist depends on rows left out."""
    if isinstance(value, dict):
        return {name: _pruned(value[name]) for name in sorted(value) if _pruned(value[name]) is not None} or None
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_a_dataset_of_drifting_files(tmp_path: Path, store: Store) -> None:
    home = tmp_path / "data"
    home.mkdir()
    (home / "a.jsonl").write_text('{"a":1}\n{"a":2}\n')
    (home / "b.jsonl").write_text('{"b":"x","a":0.5}\n')
    parts = [rows for file in sources.resolve(home) for rows in sources.ingest(file)]
    table = Table.from_arrow(store, (rows.table for rows in parts))
    assert list(table.iter_rows()) == [{"a": 1.0, "b": None}, {"a": 2.0, "b": None}, {"a": 0.5, "b": "x"}]
    (home / "c.jsonl").write_text('\n{"a":"text"}\n')
    located = [
        rows.schema.located(Path(file.path).name, rows.first_line)
        for file in sources.resolve(home)
        for rows in sources.ingest(file)
    ]
    with pytest.raises(SourceError, match=r"column 'a' is float in a.jsonl:1 but string in c.jsonl:2"):
        union(located)
