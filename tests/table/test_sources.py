"""Datasets as they come: found, in every format and compression, cut, edited, damaged."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from table_support import encoded, json_rows, modelled, same

from forebay.errors import BuildError, NotFoundError, SourceError
from forebay.table import sources
from forebay.table.building import build_columns
from forebay.table.pythonic import rows_of
from forebay.table.sources import ByteShard, ReadOptions, SourceFile, resolve

SMALL = ReadOptions(shard_bytes=4000)
SKIP = ReadOptions(shard_bytes=4000, on_bad_rows="skip")

FLAT: list[dict[str, Any]] = [
    {"text": f"row {at} é\n" * (at % 7) or None, "n": at, "f": at / 2, "b": at % 2 == 0, "z": f"0{at}"}
    for at in range(600)
]
NESTED = [{**row, "tags": ["a"] * (at % 3), "m": {"x": None if at % 2 else at}} for at, row in enumerate(FLAT)]


def arrow() -> pa.Table:
    return pa.table(build_columns(NESTED))


def written(write: Callable[[Any], object]) -> bytes:
    sink = pa.BufferOutputStream()
    write(sink)
    return sink.getvalue().to_pybytes()


def stream(sink: Any) -> None:
    with pa.ipc.new_stream(sink, arrow().schema) as writer:
        writer.write_table(arrow(), max_chunksize=100)


def separated(delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(FLAT[0])
    writer.writerows([["true" if v is True else "false" if v is False else v for v in row.values()] for row in FLAT])
    return text.getvalue().encode()


FORMATS: dict[str, Callable[[], bytes]] = {
    "lines.jsonl": lambda: b"".join(json.dumps(row).encode() + b"\n" for row in NESTED),
    "lines.json": lambda: b"\r\n".join(json.dumps(row, ensure_ascii=False).encode() for row in NESTED),
    "array.json": lambda: b"\xef\xbb\xbf" + json.dumps(NESTED, indent=1, ensure_ascii=False).encode(),
    "tight.json": lambda: json.dumps(NESTED).encode(),
    "objects.json": lambda: "\n".join(json.dumps(row, indent=2) for row in NESTED).encode(),
    "table.parquet": lambda: written(lambda sink: pq.write_table(arrow(), sink, row_group_size=70)),
    "table.feather": lambda: written(lambda sink: feather.write_feather(arrow(), sink)),
    "table.arrow": lambda: written(stream),
    "table.csv": lambda: separated(","),
    "table.tsv": lambda: separated("\t"),
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def put(path: Path, data: bytes) -> SourceFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    (file,) = resolve(path)
    return file


def ingested(file: SourceFile, options: ReadOptions = SMALL) -> list[dict[str, Any]]:
    return [row for rows in sources.ingest(file, options) for row in rows_of(rows.table)]


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_compression(tmp_path: Path, name: str, packer: str) -> None:
    file = put(tmp_path / (name + packer), PACKERS[packer](FORMATS[name]()))
    shards = list(sources.ingest(file, SMALL))
    want = FLAT if name.endswith("sv") else NESTED
    assert same([row for rows in shards for row in rows_of(rows.table)], want)
    assert len(shards) > 5
    assert file.splittable == (name.startswith("lines") and not packer)


def test_both_ways_of_reading_lines_agree(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + FORMATS["lines.jsonl"]()
    plain, packed = put(tmp_path / "a.jsonl", data), put(tmp_path / "a.jsonl.gz", gzip.compress(data))
    scan = sources.scan(plain, SMALL)
    assert [shard.to_json() for shard in sources.scan(packed, SMALL).shards] == [it.to_json() for it in scan.shards]
    assert [ByteShard.from_json(shard.to_json()) for shard in scan.shards] == list(scan.shards)
    one = [sources.read_shard(plain, shard, SMALL) for shard in reversed(scan.shards)]
    other = list(sources.ingest(packed, SMALL))
    assert [encoded(rows.table) for rows in reversed(one)] == [encoded(rows.table) for rows in other]
    assert [rows.first_line for rows in other] == [shard.first_line for shard in scan.shards]
    assert scan.bytes == len(data)
    assert sum(shard.lines for shard in scan.shards) == len(NESTED)


@settings(max_examples=50)
@given(json_rows(max_size=40), st.sampled_from([10, 60, 4000]), st.booleans())
def test_cuts_lose_nothing(tmp_path_factory: pytest.TempPathFactory, rows: list[Any], size: int, end: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "random.jsonl"
    path.write_bytes(b"\n".join(json.dumps(row).encode() for row in rows) + b"\n" * end)
    (file,) = resolve(path)
    options = ReadOptions(shard_bytes=size)
    shards = sources.scan(file, options).shards
    assert b"".join(path.read_bytes()[it.offset : it.offset + it.length] for it in shards) == path.read_bytes()
    read = [sources.read_shard(file, shard, options) for shard in shards]
    whole = modelled(rows)
    at = 0
    for part in read:
        found = rows_of(part.table)
        assert same(found, modelled(rows[at : at + len(found)]))
        at += len(found)
    assert at == len(whole)


def test_a_shards_name_depends_on_its_bytes_alone(tmp_path: Path) -> None:
    chooser = random.Random(2)
    lines = [json.dumps({"text": chooser.randbytes(40).hex()}).encode() + b"\n" for _ in range(3000)]
    options = ReadOptions(shard_bytes=20_000)

    def names(name: str, content: list[bytes]) -> list[str]:
        return [it.digest for it in sources.scan(put(tmp_path / name, b"".join(content)), options).shards]

    before = names("a.jsonl", lines)
    assert names("elsewhere/b.json", lines) == before
    edits = {
        "edited": [*lines[:1500], b'{"text":"new"}\n', *lines[1501:]],
        "inserted": [*lines[:700], b'{"text":"new"}\n', *lines[700:]],
        "deleted": [*lines[:2000], *lines[2001:]],
        "appended": [*lines, b'{"text":"new"}\n'],
        "prepended": [b'{"text":"new"}\n', *lines],
    }
    for name, content in edits.items():
        after = names(f"{name}.jsonl", content)
        assert len(set(after) - set(before)) <= 3, name
        assert len(set(after) & set(before)) >= len(before) - 3, name


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_nothing_to_read(tmp_path: Path, data: bytes) -> None:
    file = put(tmp_path / "a.jsonl", data)
    assert [sources.read_shard(file, it).table.num_rows for it in sources.scan(file).shards] in ([], [0])
    assert ingested(put(tmp_path / "a.json", data)) == []


def test_one_huge_line_and_no_line_end(tmp_path: Path) -> None:
    row = {"text": "x" * 5_000_000}
    file = put(tmp_path / "a.jsonl", json.dumps({"text": "first"}).encode() + b"\n" + json.dumps(row).encode())
    assert ingested(file) == [{"text": "first"}, row]
    assert len(sources.scan(file, SMALL).shards) == 2


class TestFinding:
    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        for name in ["b.jsonl", "a.json.gz", "sub/c.csv", ".hidden/d.jsonl", "README.md", "x.bin", "state.json"]:
            data = gzip.compress(b"[]") if name.endswith("gz") else b"{}" if "json" in name else b""
            put_only(tmp_path / name, data)
        return tmp_path

    def test_a_folder(self, home: Path) -> None:
        found = resolve(home)
        assert [(Path(it.path).name, it.format, it.compression) for it in found] == [
            ("a.json.gz", "json", "gz"),
            ("b.jsonl", "jsonl", ""),
            ("c.csv", "csv", ""),
        ]

    def test_what_is_left_out_is_told(self, home: Path) -> None:
        def left_out(*given: str, **options: Any) -> list[str]:
            told: list[str] = []
            resolve(list(given), home, left_out=told, **options)
            return [str(Path(path).relative_to(home)) for path in told]

        assert left_out(".") == left_out("**/*") == ["README.md", "x.bin"]
        assert left_out(".", "README.md") == left_out(".", "*.md", ".") == ["x.bin"]
        assert left_out("*.jsonl") == left_out("README.md") == left_out("sub") == []
        assert left_out(".", suffixes=(".jsonl",)) == []

    def test_suffixes_decide_before_data_hides_text(self, home: Path) -> None:
        put_only(home / "sub/notes.txt", b"")
        assert [it.paths for it in resolve(home, suffixes=(".txt",))] == [(str(home / "sub/notes.txt"),)]
        assert len(resolve(home, suffixes=(".nothing",))) == 3

    def test_globs_and_several(self, home: Path) -> None:
        assert [Path(it.path).name for it in resolve("*.jsonl", home)] == ["b.jsonl"]
        assert [Path(it.path).name for it in resolve("**/*", home)] == ["a.json.gz", "b.jsonl", "c.csv"]
        assert [Path(it.path).name for it in resolve(["sub", "b.jsonl", "*.jsonl"], home)] == ["c.csv", "b.jsonl"]

    def test_links_do_not_lead_in_circles(self, home: Path) -> None:
        (home / "sub" / "up").symlink_to("..")
        (home / "sub" / "beside").symlink_to("../.hidden")
        assert [Path(it.path).name for it in resolve(home)] == ["a.json.gz", "b.jsonl", "d.jsonl", "c.csv"]

    def test_links_from_each_to_the_other(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            put_only(tmp_path / name / f"{name}.jsonl", b"{}")
        (tmp_path / "a" / "z").symlink_to("../b")
        (tmp_path / "b" / "z").symlink_to("../a")
        assert [Path(file.path).name for file in resolve(tmp_path / "a")] == ["a.jsonl", "b.jsonl"]
        assert len(resolve(tmp_path)) == 4

    def test_what_is_no_file_is_told_as_that(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.jsonl")
        for path in (tmp_path / "a.jsonl", Path("/dev/null")):
            with pytest.raises(SourceError, match="is a device or a pipe, not a file; write it to a file first"):
                resolve(path)
        (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
        with pytest.raises(SourceError, match=r"cannot look at .*: Too many levels of symbolic links"):
            resolve(tmp_path / "loop.jsonl")

    def test_links_to_nowhere_are_not_passed_over(self, home: Path) -> None:
        """Data that was not brought along is no reason to go on without it."""
        (home / "sub" / "far.jsonl").symlink_to("nowhere.jsonl")
        for wanted in (home, str(home / "**" / "*")):
            with pytest.raises(SourceError, match=r"sub/far\.jsonl is a link to nowhere; bring what it names"):
                resolve(wanted)
        assert resolve(home, suffixes=(".csv",))  # nobody asked for it

    def test_a_format_may_be_said(self, home: Path) -> None:
        (file,) = resolve(home / "x.bin", options=ReadOptions(format="jsonl"))
        assert (file.format, file.splittable) == ("jsonl", True)

    @pytest.mark.parametrize(
        ("given_path", "message"),
        [
            ("nowhere", "no such file or folder"),
            ("*.parquet", "matches no file with a known suffix"),
            ("empty", "holds no file with a known suffix"),
            ("x.bin", r"has no known suffix \(.bin\); rename it: known are .jsonl .* and text files"),
            ("https://host/x.jsonl", "is not a local path"),
            ([], "no dataset is named"),
        ],
    )
    def test_what_is_not_there(self, home: Path, given_path: Any, message: str) -> None:
        (home / "empty").mkdir()
        with pytest.raises((NotFoundError, SourceError), match=message):
            resolve(given_path, home)


def put_only(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


class TestText:
    def test_a_file_is_a_row(self, tmp_path: Path) -> None:
        put_only(tmp_path / "a.txt", "one\r\ntwo é\n".encode())
        put_only(tmp_path / "b.md.gz", gzip.compress(b"\xef\xbb\xbf# packed"))
        put_only(tmp_path / "c/d.py", b"")
        (file,) = resolve(tmp_path)
        assert not file.splittable
        assert [Path(path).name for path in file.paths] == ["a.txt", "b.md.gz", "d.py"]
        assert ingested(file) == [{"text": "one\r\ntwo é\n"}, {"text": "# packed"}, {"text": ""}]

    def test_a_line_is_a_row_if_so_wished(self, tmp_path: Path) -> None:
        put_only(tmp_path / "a.txt", b"one\r\n\ntwo")
        options = ReadOptions(text_rows="line")
        (file,) = resolve(tmp_path, options=options)
        (shard,) = sources.scan(file, options).shards
        assert rows_of(sources.read_shard(file, shard, options).table) == [{"text": t} for t in ("one", "", "two")]

    def test_what_is_not_utf8(self, tmp_path: Path) -> None:
        put_only(tmp_path / "a.txt", b"good")
        put_only(tmp_path / "b.txt", b"\xff")
        (file,) = resolve(tmp_path)
        with pytest.raises(SourceError, match=r"b.txt:1: not UTF-8"):
            ingested(file)
        (rows,) = sources.ingest(file, SKIP)
        assert rows_of(rows.table) == [{"text": "good"}]
        assert rows.bad[0].to_json(file.path, 1)["file"] == str(tmp_path / "b.txt")  # type: ignore[index, call-overload]

    def test_many_documents_make_many_shards(self, tmp_path: Path) -> None:
        for at in range(200):
            put_only(tmp_path / f"{at:03}.txt", b"%d " % at * 50)
        (file,) = resolve(tmp_path)
        shards = list(sources.ingest(file, SMALL))
        assert len(shards) > 4
        (tmp_path / "100.txt").write_bytes(b"edited")
        after = {encoded(rows.table) for rows in sources.ingest(file, SMALL)}
        assert len(after - {encoded(rows.table) for rows in shards}) <= 2


class TestDamage:
    @pytest.mark.parametrize("packer", [".gz", ".bz2", ".xz", ".zst"])
    @pytest.mark.parametrize("harm", ["cut", "flipped"])
    def test_damaged_compression(self, tmp_path: Path, packer: str, harm: str) -> None:
        data = bytearray(PACKERS[packer](FORMATS["lines.jsonl"]()))
        if harm == "cut":
            del data[len(data) // 2 :]
        else:
            data[len(data) // 2] ^= 0xFF
        path = tmp_path / f"a.jsonl{packer}"
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"a\.jsonl"):
            ingested(SourceFile(str(path), "jsonl", packer[1:]))  # type: ignore[arg-type]

    @pytest.mark.parametrize("packer", [".gz", ".bz2", ".xz", ".zst"])
    def test_compressed_streams_one_after_another(self, tmp_path: Path, packer: str) -> None:
        """What follows the first is read, or the file is damaged: never left out without a word."""
        name, pack = f"a.jsonl{packer}", PACKERS[packer]
        one, two = pack(b'{"a":1}\n'), pack(b'{"a":2}\n')
        assert ingested(put(tmp_path / name, one + pack(b"") + two)) == [{"a": 1}, {"a": 2}]
        for harm in (b"X" + two[1:], two[:-1], b"and some more"):
            with pytest.raises(SourceError, match=f"a damaged {packer} file"):
                ingested(put(tmp_path / name, one + harm))
        if packer != ".zst":
            assert ingested(put(tmp_path / name, one + b"\0" * 512)) == [{"a": 1}]

    @pytest.mark.parametrize("packer", [".gz", ".bz2", ".xz", ".zst"])
    def test_a_compressed_file_of_no_bytes_is_damaged(self, tmp_path: Path, packer: str) -> None:
        with pytest.raises(SourceError, match=f"a damaged {packer} file: it is empty; get it again"):
            ingested(put(tmp_path / f"a.jsonl{packer}", b""))

    def test_what_no_parser_holds_is_told_with_its_line(self, tmp_path: Path) -> None:
        long, deep = b'{"a":\n%s}' % (b"1" * 5000), b'{"a":%s}' % (b"[" * 100_000 + b"]" * 100_000)
        for data in (long, b"[{},%s]" % long):
            with pytest.raises(SourceError, match=r"a\.json:\d: an integer of thousands of digits"):
                ingested(put(tmp_path / "a.json", data))
        with pytest.raises(SourceError, match=r"a\.json:1: nested too deeply"):
            ingested(put(tmp_path / "a.json", deep))

    @pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
    def test_text_that_is_not_utf8_in_typed_columns(self, tmp_path: Path, name: str) -> None:
        text = pa.array([b"fine", b"\xff"]).view("string")
        table = pa.table({"n": [1, 2], "t": text})
        write = pq.write_table if name == "a.parquet" else feather.write_feather
        with pytest.raises(SourceError, match=f"{name} is not a readable .* file: column 't': .*UTF8"):
            ingested(put(tmp_path / name, written(lambda sink: write(table, sink))))

    def test_columns_that_cannot_be_stored_are_told_with_their_file(self, tmp_path: Path) -> None:
        table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
        with pytest.raises(SourceError, match=r"twice\.parquet: columns named twice: a; rename them"):
            ingested(put(tmp_path / "twice.parquet", written(lambda sink: pq.write_table(table, sink))))

    def test_no_room_to_decode_is_no_damage(self, tmp_path: Path) -> None:
        file = put(tmp_path / "a.parquet.gz", gzip.compress(FORMATS["table.parquet"]()))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(BuildError, match=r"cannot decode .*a\.parquet\.gz into .*: File too large; make room"):
                ingested(file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    def test_gone_changed_or_unreadable(self, tmp_path: Path) -> None:
        file = put(tmp_path / "a.jsonl", b'{"a":1}\n')
        (shard,) = sources.scan(file).shards
        (tmp_path / "a.jsonl").write_bytes(b'{"a":2}\n')
        with pytest.raises(SourceError, match="changed while it was being read; run again"):
            sources.read_shard(file, shard)
        (tmp_path / "a.jsonl").unlink()
        with pytest.raises(NotFoundError, match="no such file"):
            sources.read_shard(file, shard)
        with pytest.raises(SourceError, match="is a folder"):
            sources.scan(SourceFile(str(tmp_path), "jsonl"))

    def test_utf16_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="is UTF-16; convert it to UTF-8"):
            sources.scan(put(tmp_path / "a.jsonl", '{"a":1}'.encode("utf-16")))

    @pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
    def test_not_what_the_name_says(self, tmp_path: Path, name: str) -> None:
        for data in (b"nonsense, and some more of it", b"", b"ARROW1 nonsense", b"FEA1 nonsense"):
            with pytest.raises(SourceError, match="is not a readable"):
                ingested(put(tmp_path / name, data))

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b'[{"a":1},\n{"a":}]', "a.json:2: not JSON: Expecting value"),
            (b'[{"a":1},\n{"a":1}', "a.json:2: the array never ends"),
            (b'[{"a":1}\n{"a":1}]', "a.json:2: expected ',' or ']', found '{'"),
            (b'[{"a":1}] x', "a.json:1: 'x' after the array's end"),
            (b"17", "a.json:1: neither an array nor an object, but '1'"),
            (b'[{"a":"\xff"}]', "a.json:1: not UTF-8"),
            (b'[{"a":1},\n[1]]', r"a.json:2: a JSON array, not an object: '\[1\]'"),
            (b'[{"a":1},\n\n{"a":"x"}]', r"a.json:3: column 'a' is string but int64 before \(line 1\)"),
            (b'[{"a":99999999999999999999}]', "a.json:1: .* does not fit 64 bits"),
            (b"[" * 100_000, "a.json:1: nested too deeply"),
        ],
    )
    def test_json_documents(self, tmp_path: Path, data: bytes, message: str) -> None:
        with pytest.raises(SourceError, match=message):
            ingested(put(tmp_path / "a.json", data))

    def test_rows_of_json_documents_can_be_skipped(self, tmp_path: Path) -> None:
        file = put(tmp_path / "a.json", b'[{"a":1},7,\n"x",{"a":"y"},{"a":2}]')
        (rows,) = sources.ingest(file, SKIP)
        assert rows_of(rows.table) == [{"a": 1}, {"a": 2}]
        assert [(bad.line, bad.text) for bad in rows.bad] == [(0, b"7"), (1, b'"x"'), (1, b'{"a":"y"}')]


def test_parquet_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    empty = arrow().slice(0, 0)
    (rows,) = sources.ingest(put(tmp_path / "a.parquet", written(lambda sink: pq.write_table(empty, sink))))
    assert rows.table.num_rows == 0
    assert rows.schema.names == tuple(NESTED[0])


def test_row_shards_do_not_depend_on_batches(tmp_path: Path) -> None:
    def bases(rows_per_group: int) -> list[bytes]:
        data = written(lambda sink: pq.write_table(arrow(), sink, row_group_size=rows_per_group))
        return [encoded(rows.table) for rows in sources.ingest(put(tmp_path / "a.parquet", data), SMALL)]

    assert bases(7) == bases(600)
