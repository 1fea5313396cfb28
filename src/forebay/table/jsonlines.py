"""Rows as JSON Lines, column by column: the bytes that orjson writes for each row's dict, some four times faster.

Every column becomes an array of JSON texts, and Arrow joins them with the keys between them. Where Arrow has no way to
write a type as orjson does (times, decimals, dictionaries …), orjson writes the values of that column.
"""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any, TypeAlias, cast

import numpy as np
import orjson
import pyarrow as pa
from pyarrow import types as kinds

from forebay.table import compute
from forebay.table.buffers import text_of, values_of
from forebay.table.canonical import canonical

Piece: TypeAlias = "str | pa.Array"
"""A part of every row's text: the same for all, or one for each."""

_ESCAPES = {code: orjson.dumps(chr(code))[1:-1] for code in (*range(0x20), *b'"\\')}
"""What JSON text must not hold as it is, and what stands for it, by byte."""
_GROWTH = np.array([len(_ESCAPES.get(code, b" ")) - 1 for code in range(256)])
"""By how many bytes a text becomes longer for each of its bytes."""
_WIDE_BYTES = 1 << 28
"""Texts beyond this have 64-bit offsets: escaping may make six bytes of one."""


def json_lines(rows: pa.Table) -> pa.Buffer:
    """Return each row as one line of JSON: an object with every column, in order.

    Raises:
        orjson.JSONEncodeError: JSON cannot hold a value (binary).
    """
    if not rows.num_columns:
        return pa.py_buffer(b"{}\n" * rows.num_rows)
    wide = rows.nbytes > _WIDE_BYTES
    lines = _joined([*_object(rows.column_names, [canonical(column) for column in rows.columns], wide), "\n"])
    _, offsets, data = cast("Any", lines).buffers()
    if data is None:
        return pa.py_buffer(b"")
    ends = np.frombuffer(offsets, np.int64 if kinds.is_large_string(lines.type) else np.int32)
    return data.slice(0, int(ends[len(lines)]))


def plain(value: object) -> str:
    """Write what JSON has no type for: decimals and durations as text.

    Raises:
        TypeError: it is bytes.
    """
    if isinstance(value, bytes):
        raise TypeError("a column holds bytes")
    return str(value)


def _object(names: list[str], columns: list[pa.Array], wide: bool) -> list[Piece]:
    pieces: list[Piece] = ["{"]
    for number, (name, column) in enumerate(zip(names, columns, strict=True)):
        pieces.append(("," if number else "") + orjson.dumps(name).decode() + ":")
        pieces += _pieces(column, wide)
    return [*pieces, "}"]


def _pieces(array: pa.Array, wide: bool) -> list[Piece]:
    """Return what to join to write each value of a canonical array."""
    whole = _written(array, wide)
    if not array.null_count or kinds.is_null(array.type):
        return whole
    return [compute.call("if_else", compute.call("is_valid", array), _joined(whole), _text("null", wide))]


def _written(array: pa.Array, wide: bool) -> list[Piece]:
    """The same for values that are there; what stands for a null is any text."""
    kind = array.type
    if kinds.is_null(kind):
        return [pa.repeat(_text("null", wide), len(array))]
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        return ['"', _filled(_escaped(compute.cast(array, pa.large_string()) if wide else array)), '"']
    if kinds.is_boolean(kind) or kinds.is_integer(kind):
        return [_filled(compute.cast(array, _text_type(wide)))]
    if kinds.is_struct(kind) and kind.num_fields:
        names = [kind.field(at).name for at in range(kind.num_fields)]
        return _object(names, [cast("pa.StructArray", array).field(at) for at in range(kind.num_fields)], wide)
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        return _list(cast("pa.ListArray", array), wide)
    return [_each(array, wide)]


def _list(array: pa.ListArray, wide: bool) -> list[Piece]:
    items = _joined(_pieces(array.values, wide))
    made = pa.LargeListArray if kinds.is_large_list(array.type) else pa.ListArray
    return ["[", compute.call("binary_join", made.from_arrays(array.offsets, items), _text(",", wide)), "]"]


def _each(array: pa.Array, wide: bool) -> pa.Array:
    """Let orjson write the values; those of floats in one go, as no number holds a comma."""
    if getattr(array.type, "unit", "") == "ns":
        written = _nanoseconds(array)
    elif kinds.is_floating(array.type):
        values = array.to_pylist()
        written = orjson.dumps(values)[1:-1].split(b",") if values else []
    else:
        written = [orjson.dumps(value, plain) for value in _python_values(array)]
    offsets = np.zeros(len(written) + 1, np.int64)
    np.cumsum([len(text) for text in written], out=offsets[1:])
    places = offsets if wide else offsets.astype(np.int32)
    buffers = [None, pa.py_buffer(places), pa.py_buffer(b"".join(written))]
    return pa.Array.from_buffers(_text_type(wide), len(written), buffers)


def _python_values(array: pa.Array) -> list[Any]:
    try:
        return array.to_pylist()
    except OverflowError:
        raise orjson.JSONEncodeError(f"a {array.type} lies beyond the years 1 to 9999") from None


def _nanoseconds(array: pa.Array) -> list[bytes]:
    """Write times of nanoseconds as ones of microseconds, with three digits more where they have them.

    Python's times end at microseconds, and what pyarrow gives instead depends on whether pandas is installed.
    """
    kind: Any = array.type
    if kinds.is_timestamp(kind):
        coarse: pa.DataType = pa.timestamp("us", kind.tz)
    else:
        coarse = pa.duration("us") if kinds.is_duration(kind) else pa.time64("us")
    whole, rest = np.divmod(values_of(array, np.int64), 1000)
    values: list[Any] = pa.Array.from_buffers(coarse, len(array), [None, pa.py_buffer(whole)]).to_pylist()
    pairs = zip(values, rest.tolist(), strict=True)
    return [_finer(value, digits) if digits else orjson.dumps(value, plain) for value, digits in pairs]


def _finer(value: Any, digits: int) -> bytes:
    if isinstance(value, timedelta):
        micro = value.microseconds
        text = str(value - timedelta(microseconds=micro))
        return orjson.dumps(f"{text}.{micro:06d}{digits:03d}")
    text = orjson.dumps(value.replace(microsecond=0)).decode()
    seconds_end = 1 + len("00:00:00" if isinstance(value, time) else "1970-01-01T00:00:00")
    return f"{text[:seconds_end]}.{value.microsecond:06d}{digits:03d}{text[seconds_end:]}".encode()


def _escaped(array: pa.Array) -> pa.Array:
    """Return texts with an escape for all that JSON text must not hold as it is; what stands for a null is any text.

    All of them in one go: where their bytes are put one after the other, only their ends have to be counted anew.
    """
    data = array.buffers()[2]
    if data is None or not len(array):
        return array
    width = np.int64 if kinds.is_large_string(array.type) else np.int32
    ends = values_of(array, width)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    codes = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    texts, special = codes.tobytes(), codes < 0x20
    for sign in b'"\\':
        if sign in texts:
            special |= codes == sign
    places = np.flatnonzero(special)
    if not len(places):
        return array
    found = codes[places]
    for sign in sorted(set(found.tolist()), key=lambda sign: sign != ord("\\")):  # others' escapes have one of those
        texts = texts.replace(bytes([sign]), _ESCAPES[sign])
    longer = np.concatenate([[0], np.cumsum(_GROWTH[found])])
    ends -= ends[0]
    ends += longer[np.searchsorted(places, ends)]
    return pa.Array.from_buffers(array.type, len(array), [None, pa.py_buffer(ends.astype(width)), pa.py_buffer(texts)])


def _joined(pieces: list[Piece]) -> pa.Array:
    arrays = [piece for piece in pieces if not isinstance(piece, str)]
    wide = kinds.is_large_string(arrays[0].type)
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    if len(merged) == 1:
        return arrays[0]
    given = [_text(piece, wide) if isinstance(piece, str) else piece for piece in merged]
    return compute.call("binary_join_element_wise", *given, _text("", wide))


def _filled(array: pa.Array) -> pa.Array:
    return compute.call("coalesce", array, _text("", kinds.is_large_string(array.type))) if array.null_count else array


def _text_type(wide: bool) -> pa.DataType:
    return pa.large_string() if wide else pa.string()


def _text(text: str, wide: bool) -> pa.Scalar:
    return compute.cast(text_of([text]), _text_type(wide))[0]  # `pyarrow.scalar` would import pandas
