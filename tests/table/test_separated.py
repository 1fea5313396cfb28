"""CSV and TSV: types, quotes, malformed rows."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from forebay.errors import SourceError
from forebay.table import sources
from forebay.table.pythonic import rows_of
from forebay.table.sources import ReadOptions, SourceFile, resolve

SMALL = ReadOptions(shard_bytes=4000)
SKIP = ReadOptions(shard_bytes=4000, on_bad_rows="skip")


def put(path: Path, data: bytes) -> SourceFile:
    path.write_bytes(data)
    (file,) = resolve(path)
    return file


def ingested(file: SourceFile, options: ReadOptions = SMALL) -> list[dict[str, Any]]:
    return [row for rows in sources.ingest(file, options) for row in rows_of(rows.table)]


class TestSeparated:
    def read(self, path: Path, data: bytes, options: ReadOptions = SMALL) -> tuple[dict[str, Any], list[Any]]:
        shards = list(sources.ingest(put(path / "a.csv", data), options))
        return pa.concat_tables([it.table for it in shards]).to_pydict(), [bad for it in shards for bad in it.bad]

    def test_types_are_those_of_the_whole_file(self, tmp_path: Path) -> None:
        rows = "".join(f"{at},{at},0{at},{at % 2},{at}\n" for at in range(5000))
        found, _ = self.read(tmp_path, f"i,f,zip,flag,late\n{rows}1,2.5,7,1,x\n".encode())
        assert {name: type(column[0]) for name, column in found.items()} == {
            "i": int, "f": float, "zip": str, "flag": int, "late": str
        }  # fmt: skip

    def test_what_numbers_would_lose_stays_text(self, tmp_path: Path) -> None:
        found, _ = self.read(tmp_path, b"a,b,c,d,e\n007,99999999999999999999,2020-01-01,nan,+5\n")
        assert found == {"a": ["007"], "b": ["99999999999999999999"], "c": ["2020-01-01"], "d": ["nan"], "e": ["+5"]}

    def test_empty_is_null_and_quoted_empty_is_text(self, tmp_path: Path) -> None:
        found, _ = self.read(tmp_path, b'a,b,c\n,"",\nx,y,\n')
        assert found == {"a": [None, "x"], "b": ["", "y"], "c": [None, None]}

    def test_integers_that_no_float_holds_stay_text(self, tmp_path: Path) -> None:
        found, _ = self.read(tmp_path, b"a,b,c\n9007199254740993,9007199254740992,-9007199254740993\n1.5,1.5,\n")
        assert found == {
            "a": ["9007199254740993", "1.5"], "b": [9007199254740992.0, 1.5], "c": [-9007199254740993, None]
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("data", "row", "text"),
        [
            (b'a,b\n1,"a\n2,b\n3,c\n', 2, b"a\n2,b\n3,c\n"),
            (b'a,b\n1,2\n"3,a\n4,b', 3, b'"3,a\n4,b'),
            (b'a\nx\n"\n', 3, b"\n"),
            (b"a,b\n" + b"1,2\n" * 1_100_000 + b'3,"4\n5,6', 1_100_002, b"4\n5,6"),
        ],
    )
    @pytest.mark.parametrize("packer", ["", ".gz"])
    def test_a_quote_that_is_never_closed(
        self, tmp_path: Path, data: bytes, row: int, text: bytes, packer: str
    ) -> None:
        file = put(tmp_path / f"a.csv{packer}", gzip.compress(data) if packer else data)
        with pytest.raises(SourceError, match=rf"a\.csv({packer})?:{row}: a quote that is never closed"):
            ingested(file)
        shards = list(sources.ingest(file, SKIP))
        assert [(bad.line, bad.text) for it in shards for bad in it.bad] == [(row - 1, text)]
        assert sum(it.table.num_rows for it in shards) == row - 2

    def test_a_header_whose_quote_is_never_closed(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"a\.csv:1: a quote that is never closed; close it"):
            self.read(tmp_path, b'a,"b\n1,2\n3,4\n')

    def test_quotes_that_are_text(self, tmp_path: Path) -> None:
        found, _ = self.read(tmp_path, b'a,b\n5" pipe,"say ""no"""\n6",x"')
        assert found == {"a": ['5" pipe', '6"'], "b": ['say "no"', 'x"']}

    @pytest.mark.parametrize(
        ("data", "names"), [(b"a,b", ["a", "b"]), (b"a,b\r\n", ["a", "b"]), (b"", []), (b"\n\n", [])]
    )
    def test_a_header_alone(self, tmp_path: Path, data: bytes, names: list[str]) -> None:
        assert [name for it in sources.ingest(put(tmp_path / "a.csv", data)) for name in it.table.column_names] == names

    def test_types_can_be_given(self, tmp_path: Path) -> None:
        found, _ = self.read(tmp_path, b"a,b\n1,2\n", ReadOptions(types=(("a", "string"), ("b", "double"))))
        assert found == {"a": ["1"], "b": [2.0]}
        with pytest.raises(SourceError, match="column 'a' is not int64"):
            self.read(tmp_path, b"a\nx\n", ReadOptions(types=(("a", "int64"),)))

    def test_quoted_line_ends_and_byte_order_marks(self, tmp_path: Path) -> None:
        found, _ = self.read(tmp_path, b'\xef\xbb\xbfa,b\r\n"x\r\ny","q""q"\r\n')
        assert found == {"a": ["x\r\ny"], "b": ['q"q']}

    def test_bad_rows(self, tmp_path: Path) -> None:
        data = b"a,b\n1,2\n1,2,3\n3,4\n5\n"
        with pytest.raises(
            SourceError, match=r"a\.csv:3: 3 fields where there are 2 columns: '1,2,3'; mend it, or set"
        ):
            self.read(tmp_path, data)
        found, bad = self.read(tmp_path, data, SKIP)
        assert found == {"a": [1, 3], "b": [2, 4]}
        assert [(it.line + 1, it.text) for it in bad] == [(3, b"1,2,3"), (5, b"5")]
        assert bad[0].reason == "3 fields where there are 2 columns"

    def test_edges(self, tmp_path: Path) -> None:
        assert ingested(put(tmp_path / "a.csv", b"")) == []
        assert self.read(tmp_path, b"a,b\n")[0] == {"a": [], "b": []}
        with pytest.raises(SourceError, match="columns named twice: a"):
            self.read(tmp_path, b"a,a\n1,2\n")
        with pytest.raises(SourceError, match=r"columns named twice: \(empty\)"):
            self.read(tmp_path, b"a,,\n1,2,3\n")
        with pytest.raises(SourceError, match=r"a\.csv:1: the header is not UTF-8 \(0xff\); convert the file"):
            self.read(tmp_path, "a,b\n1,2\n".encode("utf-16"))
        with pytest.raises(SourceError, match="invalid UTF8"):
            self.read(tmp_path, b"a\n\xff\n")

    def test_long_fields(self, tmp_path: Path) -> None:
        text = "x" * 9_000_000
        assert self.read(tmp_path, f"a\n{text}\n".encode())[0] == {"a": [text]}
