"""Values as JSON and raw objects, and back: what `@cached` keeps. Never pickle.

JSON scalars, lists and dicts with text keys in the order of the alphabet (an entry's JSON has no other) are themselves.
Everything else is an object that says what it is under ``"$"``:
``{"$": "array", "at": 0, "dtype": "<f8", "shape": [2]}``; `at` counts the entry's objects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from forebay.errors import InputError, StoreError
from forebay.types import JSON, Buffer, Digest, ObjectRef

_TAG = "$"


def encode(value: Any, put: Callable[[str, Buffer], ObjectRef]) -> tuple[JSON, tuple[ObjectRef, ...]]:
    """Return a value as JSON, its large parts stored by ``put(role, data)``.

    Raises:
        InputError: a part is of a kind that cannot be kept; names where.
        StoreError: it is nested too deeply, or holds itself.
    """
    writer = _Writer(put)
    try:
        return writer.write(value, "result"), tuple(writer.objects)
    except RecursionError as error:
        raise StoreError("result is nested too deeply, or holds itself", hint="return it flat") from error


def decode(data: JSON, objects: Sequence[ObjectRef], read: Callable[[Digest], memoryview]) -> Any:
    """Return the value that `encode` took apart. Arrays and tables are read-only views.

    Raises:
        StoreError: an object is missing or damaged.
    """
    if isinstance(data, list):
        return [decode(item, objects, read) for item in data]
    if not isinstance(data, dict):
        return data
    if _TAG not in data:
        return {key: decode(item, objects, read) for key, item in data.items()}
    kind = str(data[_TAG])
    if kind in ("tuple", "pairs"):
        items = [decode(item, objects, read) for item in cast("list[JSON]", data["items"])]
        return tuple(items) if kind == "tuple" else dict(cast("list[tuple[Any, Any]]", items))
    if kind == "float":
        return float(str(data["value"]))
    view = read(objects[cast("int", data["at"])].digest)
    return _DECODE[kind](view, data)


class _Writer:
    def __init__(self, put: Callable[[str, Buffer], ObjectRef]) -> None:
        self._put = put
        self.objects: list[ObjectRef] = []

    def write(self, value: Any, where: str) -> JSON:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            finite = value == value and abs(value) != float("inf")
            return value if finite else {_TAG: "float", "value": repr(value)}
        if type(value) is list:
            return [self.write(item, f"{where}[{index}]") for index, item in enumerate(value)]
        if type(value) is tuple:
            return {_TAG: "tuple", "items": [self.write(item, f"{where}[{index}]") for index, item in enumerate(value)]}
        if type(value) is dict:
            return self._mapping(cast("dict[Any, Any]", value), where)
        if type(value) in (bytes, bytearray):
            return self._object("bytes", value, type=type(value).__name__)
        return self._framework(value, where)

    def _mapping(self, value: Mapping[Any, Any], where: str) -> JSON:
        if all(type(key) is str for key in value) and _TAG not in value and list(value) == sorted(value):
            return {key: self.write(item, f"{where}[{key!r}]") for key, item in value.items()}
        pairs: list[JSON] = []
        for key, item in value.items():
            place = f"{where}[{key!r}]"
            pairs.append([self.write(key, place), self.write(item, place)])
        return {_TAG: "pairs", "items": pairs}

    def _object(self, kind: str, data: Buffer, **more: JSON) -> JSON:
        self.objects.append(self._put(f"{kind}-{len(self.objects)}", data))
        return {_TAG: kind, "at": len(self.objects) - 1, **more}

    def _framework(self, value: Any, where: str) -> JSON:
        """Arrays and tables; a framework that is not loaded cannot have made the value."""
        numpy, pyarrow, pandas = (sys.modules.get(name) for name in ("numpy", "pyarrow", "pandas"))
        if pyarrow is not None and isinstance(value, (pyarrow.Table, pyarrow.RecordBatch)):
            if isinstance(value, pyarrow.RecordBatch):
                return self._arrow("batch", value)
            return self._arrow("table", value.unify_dictionaries())  # a file has one for each column
        if pandas is not None and isinstance(value, pandas.DataFrame):
            return self._arrow("frame", _of_frame(value, where))
        if numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in "biufcSUMm":
            return self._object("scalar", value.tobytes(), dtype=value.dtype.str)
        if (
            numpy is not None
            and type(value) is numpy.ndarray
            and value.dtype.kind in "biufcSUMm"
            and not value.dtype.names
        ):
            data = numpy.ascontiguousarray(value)
            flat = memoryview(data.reshape(-1).view(numpy.uint8)) if data.size and data.dtype.itemsize else b""
            return self._object("array", flat, dtype=value.dtype.str, shape=list(value.shape))
        raise InputError(f"{where} is a {type(value).__module__}.{type(value).__qualname__}, which cannot be kept",
                         subject=where, hint="return tables, arrays, bytes or JSON-like values")  # fmt: skip

    def _arrow(self, kind: str, value: Any) -> JSON:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, value.schema) as writer:
            writer.write(value)
        return self._object(kind, memoryview(sink.getvalue()))


def _of_frame(value: Any, where: str) -> Any:
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(value)
    except (ValueError, TypeError, pa.ArrowException) as error:
        raise InputError(f"{where} is a frame that Arrow cannot hold: {error}", subject=where,
                         hint="make each column one plain type, and name each once") from error  # fmt: skip


def _array(view: memoryview, data: Mapping[str, JSON]) -> Any:
    import numpy as np

    shape = cast("list[int]", data["shape"])
    dtype = np.dtype(str(data["dtype"]))
    found = np.frombuffer(view, dtype) if view.nbytes else np.zeros(0, dtype)
    found = found.reshape(shape)
    found.flags.writeable = False
    return found


def _scalar(view: memoryview, data: Mapping[str, JSON]) -> Any:
    import numpy as np

    dtype = np.dtype(str(data["dtype"]))
    return np.frombuffer(view, dtype)[0] if dtype.itemsize else dtype.type()


def _table(view: memoryview, data: Mapping[str, JSON]) -> Any:
    import pyarrow as pa

    table = pa.ipc.open_file(pa.py_buffer(view)).read_all()
    if data[_TAG] == "frame":
        return table.to_pandas()
    if data[_TAG] == "batch":
        return table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], table.schema)
    return table


def _bytes(view: memoryview, data: Mapping[str, JSON]) -> Any:
    return bytearray(view) if data["type"] == "bytearray" else bytes(view)


_DECODE: Mapping[str, Callable[[memoryview, Mapping[str, JSON]], Any]] = {
    "array": _array, "scalar": _scalar, "table": _table, "batch": _table, "frame": _table, "bytes": _bytes,
}  # fmt: skip
