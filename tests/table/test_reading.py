"""Lines as rows: what counts, what is refused and how it is told."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from table_support import json_rows, modelled, same

from forebay.errors import SourceError
from forebay.table import Column, Schema
from forebay.table.pythonic import rows_of
from forebay.table.reading import Rows, read_lines, read_text
from forebay.table.sources import ReadOptions

SKIP = ReadOptions(on_bad_rows="skip")


def read(*lines: bytes, options: ReadOptions | None = None) -> Rows:
    return read_lines(b"\n".join(lines), options or ReadOptions(), "d/f.jsonl", 10)


def rows(*lines: bytes) -> list[dict[str, Any]]:
    return rows_of(read(*lines).table)


@settings(max_examples=150)
@given(json_rows())
def test_random_rows(given_rows: list[dict[str, Any]]) -> None:
    found = read_lines(b"".join(orjson.dumps(row) + b"\n" for row in given_rows), ReadOptions())
    assert same(rows_of(found.table), modelled(given_rows))
    assert found.bad == ()
    spaced = b"\r\n \n".join(json.dumps(row, indent=None).encode() for row in given_rows)
    assert read_lines(spaced, ReadOptions()).table == found.table


def test_keys_in_first_seen_order_missing_ones_null() -> None:
    assert rows(b'{"b":1}', b'{"a":{"y":1}}', b'{"c":[],"a":{"x":null,"y":2}}') == [
        {"b": 1, "a": None, "c": None},
        {"b": None, "a": {"y": 1, "x": None}, "c": None},
        {"b": None, "a": {"y": 2, "x": None}, "c": []},
    ]


def test_blank_lines_are_none_and_still_count() -> None:
    found = read(b"", b'{"a":1}', b" \t\r", b'{"b":1}')
    assert found.table.num_rows == 2
    assert found.schema.located("f", found.first_line).columns == (
        Column("a", "int64", "f:11"),
        Column("b", "int64", "f:13"),
    )


def test_what_python_writes_is_read() -> None:
    found = rows(b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1}', b'{"a":1e999}')
    assert same(found, [{"a": float("nan")}, {"a": float("-inf")}, {"a": 1.0}, {"a": float("inf")}])


def test_plain_oddities() -> None:
    assert rows(b'{"a":1,"a":2}') == [{"a": 2}]
    assert rows(b'{"a":"x\\u0000y"}') == [{"a": "x\x00y"}]
    assert rows(b'{"a":"2020-01-01T00:00:00Z"}') == [{"a": "2020-01-01T00:00:00Z"}]
    assert rows(b'{"a":9223372036854775807}', b'{"a":-9223372036854775808}') == [{"a": 2**63 - 1}, {"a": -(2**63)}]
    assert same(rows(b'{"a":1e300}'), [{"a": 1e300}])
    assert same(rows(b'{"a":-0.0}', b'{"a":-0}'), [{"a": -0.0}, {"a": 0.0}])
    assert rows(b"{}", b"{}") == [{}, {}]
    assert read(b"").table.num_rows == 0


def test_types_of_nothing_fit_all() -> None:
    found = read(b'{"a":[],"b":null,"c":{},"d":[null]}')
    assert [column.type for column in found.schema.columns] == [
        {"list": "null"},
        "null",
        {"struct": []},
        {"list": "null"},
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a":', "not JSON: Expecting value at column 6"),
        (b'{"a":1} x', "not JSON: Extra data at column 9"),
        (b"\x00", "not JSON: Expecting value at column 1"),
        (b'{"a":"\x01"}', "not JSON: Invalid control character at column 7"),
        (b"[1]", "a JSON array, not an object"),
        (b'"x"', "a JSON string, not an object"),
        (b"17", "a JSON number, not an object"),
        (b"null", "a JSON null, not an object"),
        (b'{"a":"\xff"}', "not UTF-8: byte 0xff at column 7"),
        (b'{"a":"\\ud800"}', "text with a lone surrogate, which is not UTF-8"),
        (b'{"\\ud800":1}', "text with a lone surrogate, which is not UTF-8"),
        (b'{"a":9223372036854775808}', "the integer 9223372036854775808 does not fit 64 bits (write it as a string)"),
        (
            b'{"a":[-18446744073709551616]}',
            "the integer -18446744073709551616 does not fit 64 bits (write it as a string)",
        ),
        (
            b'{"a":1' + b"0" * 99 + b"}",
            "the integer 10000000000000000000… (100 digits) does not fit 64 bits (write it as a string)",
        ),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "column 'a': nested too deeply"),
        (b'{"a":' + b"[" * 9999 + b"]" * 9999 + b"}", "nested too deeply"),
        (b'{"n":"x"}', "column 'n' is string but int64 before"),
        (b'{"n":true}', "column 'n' is bool but int64 before"),
        (b'{"m":{"k":[{"z":"q"}]}}', "column 'm.k[].z' is string but float before"),
        (b'{"a":[1,"x"]}', "column 'a[]' is string but int64 before"),
        (b'{"a":{"b":[{"c":[1,"x"]}]}}', "column 'a.b[].c[]' is string but int64 before"),
    ],
)  # fmt: skip
def test_bad_lines(line: bytes, reason: str) -> None:
    good = b'{"n":1,"m":{"k":[{"z":0.5}]}}'
    with pytest.raises(SourceError) as found:
        read(good, line, good)
    since = " (line 10)" if "before" in reason and "[]'" not in reason else ""
    assert str(found.value).startswith(f"d/f.jsonl:11: {reason}{since}: ")
    assert str(found.value).endswith("; mend it, or set on_bad_rows: skip to leave such rows out")
    assert "\n" not in str(found.value)
    skipped = read(good, line, good, options=SKIP)
    assert skipped.table == read(good, good).table
    (bad,) = skipped.bad
    assert (bad.line, bad.reason, bad.text) == (1, reason, line)


def test_bad_rows_are_told_in_order_and_kept_as_they_are() -> None:
    found = read(b'{"a":1}', b'{"a":"x"}', b"oops \xff", b'{"a":2}', options=SKIP)
    assert rows_of(found.table) == [{"a": 1}, {"a": 2}]
    assert [bad.to_json("f", found.first_line) for bad in found.bad] == [
        {"file": "f", "line": 11, "reason": "column 'a' is string but int64 before", "text": '{"a":"x"}'},
        {"file": "f", "line": 12, "reason": "not UTF-8: byte 0xff at column 6", "text": "oops \\xff"},
    ]


def test_expected_types_decide_over_first_ones() -> None:
    expect = Schema((Column("a", "string"), Column("b", "int64")))
    found = read(b'{"a":1}', b'{"a":"x"}', b'{"b":1.5}', options=ReadOptions(on_bad_rows="skip", expect=expect))
    assert [bad.line for bad in found.bad] == [0]
    assert rows_of(found.table) == [{"a": "x", "b": None}, {"a": None, "b": 1.5}]
    with pytest.raises(SourceError, match="column 'a' is int64 but string before"):
        read(b'{"a":1}', options=ReadOptions(expect=expect))


BIG = 2**53 + 1


@pytest.mark.parametrize(
    ("lines", "reason", "place"),
    [
        ([b'{"a":%d}' % BIG, b'{"a":1.5}'], "column 'a': the integer 9007199254740993 beside", 11),
        ([b'{"a":1.5}', b'{"a":%d}' % -BIG], "column 'a': the integer -9007199254740993 beside", 11),
        ([b'{"a":{"b":[%d]}}' % BIG, b'{}', b'{"a":{"b":[1,null,0.5]}}'],
         r"column 'a\.b\[\]': the integer 9007199254740993 beside", 12),
        ([b'{"a":[%d,0.5]}' % BIG], r"column 'a\[\]': the integer 9007199254740993 beside", 10),
    ],
)  # fmt: skip
def test_integers_that_no_float_holds_are_not_changed(lines: list[bytes], reason: str, place: int) -> None:
    with pytest.raises(SourceError, match=rf"f\.jsonl:{place}: {reason} floats, which cannot hold it"):
        read(*lines)
    skipped = read(*lines, options=SKIP)
    assert [bad.line for bad in skipped.bad] == [place - 10]
    assert skipped.table.num_rows == len(lines) - 1


def test_integers_that_floats_hold_become_floats() -> None:
    assert rows(b'{"a":%d}' % (BIG - 1), b'{"a":%d}' % 2**62, b'{"a":0.5}') == [
        {"a": float(BIG - 1)}, {"a": 2.0**62}, {"a": 0.5}
    ]  # fmt: skip
    assert rows(b'{"a":%d}' % BIG, b'{"a":null}') == [{"a": BIG}, {"a": None}]


def test_long_lines() -> None:
    text = "long " * 4_000_000
    (row,) = rows(orjson.dumps({"text": text}))
    assert row["text"] == text


def test_absurdly_many_keys_are_refused() -> None:
    with pytest.raises(SourceError, match="8000 rows with 8000 different keys"):
        read(*(b'{"k%d":1}' % at for at in range(8000)))


def test_text_lines() -> None:
    found = read_text("ü\r\n\nlast".encode(), ReadOptions(), "f.txt", 1)
    assert rows_of(found.table) == [{"text": "ü"}, {"text": ""}, {"text": "last"}]
    with pytest.raises(SourceError, match=r"f.txt:2: not UTF-8: byte 0xff at column 1"):
        read_text(b"a\n\xff\n", ReadOptions(), "f.txt", 1)
    assert [bad.line for bad in read_text(b"a\n\xff\nb", SKIP, "f.txt", 1).bad] == [1]
