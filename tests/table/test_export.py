"""Files written: bytes, whole or not at all."""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from table_support import json_rows, modelled

from forebay.errors import BuildError, InputError
from forebay.io import LocalFilesystem, OpenFile
from forebay.table import export, sources
from forebay.table.building import build, build_columns
from forebay.table.casting import cast_table, describe
from forebay.table.export import Target, join, target_for
from forebay.table.jsonlines import json_lines, plain
from forebay.table.pythonic import iter_rows, rows_of
from forebay.table.rendering import render, schema_with_stats, with_stats
from forebay.table.schema import union

ROWS: list[dict[str, Any]] = [{"text": f"é{at}\n", "n": at or None, "m": {"x": [at]}} for at in range(50)]
TABLE = pa.table(build_columns(ROWS))
PARTS = [TABLE.slice(0, 20), TABLE.slice(20, 0), TABLE.slice(20)]
NAMES = ["o.jsonl", "o.jsonl.gz", "o.jsonl.zst", "o.parquet", "o.arrow"]


def target(path: Path) -> Target:
    named = target_for(path)
    return Target(named.path, named.format, named.compression, describe(TABLE.schema))


def write(path: Path, parts: list[pa.Table] = PARTS) -> export.Exported:
    to = target(path)
    return join((render(part, to.format, to.compression) for part in parts), to)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    done = write(tmp_path / "new" / "folder" / name)
    data = done.path.read_bytes()
    assert (done.bytes, done.digest) == (len(data), blake3(data).hexdigest())
    (file,) = sources.resolve(done.path)
    assert [row for rows in sources.ingest(file) for row in rows_of(rows.table)] == ROWS
    assert write(tmp_path / f"again-{name}").digest == done.digest
    assert sorted(path.name for path in done.path.parent.iterdir()) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_make_a_file_too(tmp_path: Path, name: str) -> None:
    done = write(tmp_path / name, [TABLE.slice(0, 0)])
    (file,) = sources.resolve(done.path)
    assert sum(rows.table.num_rows for rows in sources.ingest(file)) == 0
    if name.endswith(".zst"):
        assert zstandard.decompress(done.path.read_bytes()) == b""
    assert write(tmp_path / f"none-{name}", []).bytes == done.bytes


def test_parts_are_members_and_groups(tmp_path: Path) -> None:
    done = write(tmp_path / "o.jsonl.gz")
    assert sum(done.parts) == done.bytes
    first = done.path.read_bytes()[: done.parts[0]]
    assert [json.loads(line) for line in gzip.decompress(first).splitlines()] == ROWS[:20]
    with pq.ParquetFile(write(tmp_path / "o.parquet").path) as parquet:
        assert parquet.num_row_groups == 2


@settings(max_examples=80)
@given(json_rows(), st.booleans())
def test_json_lines_are_the_models(rows: list[dict[str, Any]], wide: bool) -> None:
    if not any(rows):
        return
    with patch("forebay.table.jsonlines._WIDE_BYTES", -1 if wide else 1 << 30):
        lines = bytes(render(pa.table(build_columns(rows)))).splitlines(keepends=True)
    assert lines == [orjson.dumps(row) + b"\n" for row in modelled(rows)]


def test_every_type_is_written_as_orjson_does() -> None:
    now, day = datetime(2026, 11, 21, 12, 30, 1, 5, UTC), date(2026, 2, 28)
    table = pa.table(
        {
            "half": pa.array([0.1, None, math.nan], pa.float32()),
            "big": pa.array([2**63, 0, None], pa.uint64()),
            "when": pa.array([now, None, now]),
            "day": pa.array([day, day, None]),
            "raw": pa.array(['"\\\x00\x1f\x7f\u2028é', "", None]),
            "price": pa.array([Decimal("1.50"), None, Decimal(0)]),
            "span": pa.array([timedelta(seconds=3), None, None]),
            "lists": pa.array([[None, None], [], None], pa.list_(pa.null())),
            "wide": pa.array([["a", None], [], None], pa.large_list(pa.string())),
            "empty": pa.array([{}, None, {}], pa.struct([])),
            "deep": pa.array([[{"a": [1, None]}], [None], None]),
        }
    )
    wanted = [orjson.dumps(row, plain, orjson.OPT_APPEND_NEWLINE) for row in iter_rows(table)]
    assert json_lines(table).to_pybytes().splitlines(keepends=True) == wanted
    assert json_lines(table.slice(1, 1)).to_pybytes() == wanted[1]
    assert json_lines(table.slice(0, 0)).to_pybytes() == b""
    assert json_lines(table.select([])).to_pybytes() == b"{}\n" * 3


def test_nanoseconds_are_written_whole_whatever_is_installed() -> None:
    counts = [0, 1, 123_456_000, -1, None]
    table = pa.table(
        {
            "at": pa.array(counts, pa.timestamp("ns")),
            "there": pa.array(counts, pa.timestamp("ns", "Europe/Berlin")),
            "span": pa.array(counts, pa.duration("ns")),
            "time": pa.array([*counts[:3], 1001, None], pa.time64("ns")),
        }
    )
    rows = [json.loads(line) for line in json_lines(table).to_pybytes().splitlines()]
    assert [row["at"] for row in rows] == [
        "1970-01-01T00:00:00", "1970-01-01T00:00:00.000000001", "1970-01-01T00:00:00.123456",
        "1969-12-31T23:59:59.999999999", None,
    ]  # fmt: skip
    assert rows[1]["there"] == "1970-01-01T01:00:00.000000001+01:00"
    assert [row["span"] for row in rows[:4]] == [
        "0:00:00", "0:00:00.000000001", "0:00:00.123456", "-1 day, 23:59:59.999999999"
    ]  # fmt: skip
    assert [row["time"] for row in rows] == [
        "00:00:00",
        "00:00:00.000000001",
        "00:00:00.123456",
        "00:00:00.000001001",
        None,
    ]


def test_times_beyond_the_calendar_are_refused() -> None:
    with pytest.raises(InputError, match=r"timestamp\[s\] lies beyond the years 1 to 9999"):
        render(pa.table({"at": pa.array([2**55], pa.timestamp("s"))}))


def test_types_that_parquet_lacks(tmp_path: Path) -> None:
    rows = pa.table({"empty": pa.array([{}], pa.struct([]))})
    to = Target(tmp_path / "o.parquet", "parquet", "", describe(rows.schema))
    with pytest.raises(InputError, match=r"cannot be Parquet.*export to Arrow"):
        join([render(rows, "parquet")], to)
    assert list(tmp_path.iterdir()) == []


def test_missing_columns_become_null() -> None:
    shards = [pa.table({"a": build([1])}), pa.table({"b": build([{"c": 0.5}]), "a": build([None])})]
    schema = union(describe(shard.schema) for shard in shards)
    assert b"".join(bytes(render(cast_table(shard, schema))) for shard in shards) == (
        b'{"a":1,"b":null}\n{"a":null,"b":{"c":0.5}}\n'
    )


def test_what_json_has_no_word_for() -> None:
    rows = pa.table(
        {
            "nan": build([float("nan")]),
            "day": pa.array([date(2020, 2, 1)]),
            "price": pa.array([Decimal("1.50")]),
            "while": pa.array([timedelta(seconds=90)]),
            "pairs": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    assert json.loads(bytes(render(rows))) == {
        "nan": None, "day": "2020-02-01", "price": "1.50", "while": "0:01:30", "pairs": [["k", 1]]
    }  # fmt: skip
    with pytest.raises(InputError, match=r"cannot be JSON.*export to Parquet or Arrow"):
        render(pa.table({"raw": pa.array([b"x"])}))


def test_statistics_as_one_column(tmp_path: Path) -> None:
    rows = with_stats(pa.table({"a": build([1, 2])}), pa.table({"len": build([3, 4])}))
    assert bytes(render(rows)).splitlines()[1] == b'{"a":2,"__dj__stats__":{"len":4}}'
    assert with_stats(rows, pa.table({})) is rows
    again = with_stats(rows, pa.table({"len": build([5, 6])}))
    assert again.column_names == ["a", "__dj__stats__"]
    schema = schema_with_stats(describe(pa.schema([("a", pa.int64())])), describe(pa.schema([("len", pa.int64())])))
    to = Target(tmp_path / "o.parquet", "parquet", schema=schema)
    join([render(rows, "parquet")], to)
    assert pq.read_table(to.path).to_pylist()[0] == {"a": 1, "__dj__stats__": {"len": 3}}


def test_names_that_say_nothing() -> None:
    for name in ("o", "o.txt", "o.parquet.gz", ".gz", "o.gz"):
        with pytest.raises(InputError, match="cannot tell what to write"):
            target_for(Path(name))


def test_what_was_there_is_replaced_and_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real.jsonl").write_bytes(b"old")
    (tmp_path / "link.jsonl").symlink_to("real.jsonl")
    done = write(tmp_path / "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "real.jsonl").stat().st_size == done.bytes


class _FullFile:
    def __init__(self, file: OpenFile, room: int, error: int) -> None:
        self._file, self._room, self._error = file, room, error

    def write(self, data: Any) -> None:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(self._error, "no")
        self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _FullDisk(LocalFilesystem):
    """A disk that takes so many bytes and then gives an error."""

    def __init__(self, room: int, error: int) -> None:
        super().__init__()
        self._room, self._error = room, error

    def create(self, path: Path, *, mode: int = 0o644) -> OpenFile:
        return _FullFile(super().create(path, mode=mode), self._room, self._error)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("room", [0, 150])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, name: str, room: int) -> None:
    (tmp_path / name).write_bytes(b"old")
    to = target(tmp_path / name)
    parts = [render(part, to.format, to.compression) for part in PARTS]
    for error, message in [(errno.ENOSPC, "No space left on device; make room"), (errno.EIO, "Input/output error")]:
        with pytest.raises(BuildError, match=message):
            join(parts, to, fs=_FullDisk(room, error))
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).read_bytes() == b"old"


def test_targets_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InputError, match="is a folder; name a file"):
        write(tmp_path / "folder.jsonl")
    with pytest.raises(InputError, match=r"cannot write .*; choose another place"):
        write(tmp_path / "file" / "o.jsonl")
    with pytest.raises(InputError, match="Permission denied"):
        join([b"x"], Target(tmp_path / "o.jsonl"), fs=_FullDisk(0, errno.EACCES))


def test_what_is_no_file_keeps_its_place(tmp_path: Path) -> None:
    """A pipe or a device, under a link too: renaming over /dev/null would take it from everybody."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "o.jsonl").symlink_to("pipe")
    for name in ("pipe", "o.jsonl"):
        with pytest.raises(InputError, match=f"{name} is a device or a pipe, not a file; name a file"):
            join([b"x"], Target(tmp_path / name))
    assert (tmp_path / "pipe").is_fifo()


def test_an_error_of_the_parts_leaves_nothing(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"{}\n"
        raise BuildError("the worker died")

    with pytest.raises(BuildError, match="the worker died"):
        join(parts(), Target(tmp_path / "o.jsonl"))
    assert list(tmp_path.iterdir()) == []


def test_columns_need_a_schema(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parquet needs the table's schema"):
        join([], Target(tmp_path / "o.parquet", "parquet"))
    assert list(tmp_path.iterdir()) == []
