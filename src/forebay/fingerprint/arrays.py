"""Describers of arrays and tables: numpy, Arrow, pandas, polars, Hugging Face datasets.

No array library is imported here; a value that comes from one brings it along. Equal values have equal digests, however
they lie in memory: C or Fortran order, slices, chunks, what stands under a null.
"""

from __future__ import annotations

import importlib
from typing import Any

from blake3 import blake3

from forebay.fingerprint.atoms import shorten
from forebay.fingerprint.digests import bulk_digest
from forebay.fingerprint.graph import Node
from forebay.fingerprint.walk import Walk, describes


@describes(
    "numpy.ndarray", "numpy.memmap", "numpy.matrix", "numpy.recarray", "numpy.rec.recarray",
    "numpy.matrixlib.defmatrix.matrix",
)  # fmt: skip
def ndarray(walk: Walk, node: Node, value: Any) -> None:
    """Describe a numpy array by dtype, shape and elements."""
    dtype = value.dtype
    node.kind, node.detail = "array", f"{dtype.name} {value.shape}"
    node.content = f"{dtype.name} {dtype.str} {value.shape}".encode()
    if dtype.names is not None:
        for name in dtype.names:  # field by field: what lies between them is padding
            walk.part(node, name, ndarray, value[name])
    elif dtype.hasobject or dtype.kind == "T":
        walk.child(node, "elements", value.ravel().tolist())
    else:
        node.content += bulk_digest(_bytes_of(value))


def _bytes_of(value: Any) -> Any:
    if value.flags.c_contiguous:
        try:
            return memoryview(value).cast("B")
        except (TypeError, ValueError):
            pass  # dates know no buffer protocol, and an empty array no cast
    return value.tobytes()


@describes("numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray")
def _masked(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "masked array", f"{value.dtype.name} {value.shape}"
    # What stands under the mask is not part of the value.
    data = value.data.copy()
    mask = value.mask
    if getattr(mask, "shape", ()) and mask.any():
        data[mask] = data.dtype.type()
    walk.part(node, "data", ndarray, data)
    walk.child(node, "mask", mask if getattr(mask, "shape", ()) and mask.any() else None)


@describes("numpy.generic", whole=True)
def _scalar(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "scalar", shorten(str(value))
    node.content = f"{value.dtype.name} {value.dtype.str}".encode()
    if value.dtype.names is not None or value.dtype.hasobject:
        walk.child(node, "fields", value.tolist())
    else:
        node.content += value.tobytes()


@describes("numpy.dtype", whole=True)
def _dtype(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "dtype", value.name
    node.content = f"{value!r} {value.str}".encode()


@describes("numpy.random._generator.Generator")
def _generator(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "random state"
    walk.child(node, "bit_generator", value.bit_generator)


@describes("numpy.random.bit_generator.BitGenerator", whole=True)
def _bit_generator(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "random state", type(value).__name__
    walk.child(node, "state", value.state)


@describes("numpy.random.mtrand.RandomState")
def _random_state(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "random state", "RandomState"
    walk.child(node, "state", value.get_state(legacy=False))


@describes("numpy.ufunc")
def _ufunc(walk: Walk, node: Node, value: Any) -> None:
    from forebay.fingerprint.functions import compiled

    for module in ("numpy", "scipy.special"):
        home = importlib.sys.modules.get(module)  # type: ignore[attr-defined]
        if home is not None and getattr(home, value.__name__, None) is value:
            compiled(walk, node, module, value.__name__)
            return
    walk.fail(
        node,
        f"the code behind the numpy function {value.__name__!r} cannot be seen",
        hint="use the Python function itself",
    )


@describes("pyarrow.lib.Table", "pyarrow.lib.RecordBatch")
def arrow_table(walk: Walk, node: Node, value: Any) -> None:
    """Describe an Arrow table by its columns; metadata and chunks do not count."""
    node.kind, node.detail = "table", f"{value.num_rows} rows, {value.num_columns} columns"
    node.content = str(value.num_rows).encode()
    for number, field in enumerate(value.schema):
        column = value.column(number)
        inner = walk.leaf(node, field.name, "column", _column_content(column), str(field.type))
        walk.link(node, field.name, inner, f"{number} ".encode() + field.name.encode("utf-8", "surrogatepass"))


@describes("pyarrow.lib.ChunkedArray", "pyarrow.lib.Array", whole=True)
def _arrow_array(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "column", f"{value.type}, {len(value)} rows"
    node.content = _column_content(value)


@describes("pyarrow.lib.Scalar", whole=True)
def _arrow_scalar(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "scalar", shorten(str(value))
    node.content = str(value.type).encode()
    walk.child(node, "value", value.as_py())


@describes("pyarrow.lib.Schema")
def _arrow_schema(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "schema", f"{len(value)} columns"
    for number, field in enumerate(value):
        walk.child(node, field.name, field, f"{number} ".encode() + field.name.encode("utf-8", "surrogatepass"))


@describes("pyarrow.lib.Field")
def _arrow_field(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "field", shorten(str(value))
    node.content = f"{value.name} {value.type} {value.nullable}".encode("utf-8", "surrogatepass")


@describes("pyarrow.lib.DataType", whole=True)
def _arrow_type(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "arrow type", str(value)
    node.content = str(value).encode()


@describes("pyarrow.lib.Buffer", whole=True)
def _arrow_buffer(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "buffer", f"{value.size} bytes"
    node.content = bulk_digest(value)


def _column_content(column: Any) -> bytes:
    """Return what stands for a column in a key: type, length and a digest of each stream of its values."""
    streams: dict[str, Any] = {}
    for chunk in getattr(column, "chunks", [column]):
        _feed(chunk, streams, "")
    parts = [f"{column.type} {len(column)}", *(f"{name} {streams[name].hexdigest()}" for name in sorted(streams))]
    return "\n".join(parts).encode()


def _feed(array: Any, streams: dict[str, Any], path: str) -> None:
    """Add one chunk to the streams of validity, lengths and values, free of offsets and of what stands under nulls."""
    if hasattr(array, "storage"):
        array = array.storage
    if hasattr(array, "dictionary_decode"):
        array = array.dictionary_decode()
    kind = str(array.type)
    if kind.endswith("_view"):
        array = array.cast("large_string" if kind == "string_view" else "large_binary")
        kind = str(array.type)
    if len(array) == 0:
        return
    _add(streams, path + "valid", _flags(array.is_valid()) if array.null_count else b"\x01" * len(array))
    if kind == "null":
        return
    if kind.startswith("struct<"):
        for number, child in enumerate(array.flatten()):
            _feed(child, streams, f"{path}{number}.")
    elif kind.startswith(("list<", "large_list<", "fixed_size_list<")):
        lengths = importlib.import_module("pyarrow.compute").list_value_length(array)
        _feed_fixed(lengths.fill_null(0).cast("int64"), streams, path + "lengths")
        _feed(array.flatten(), streams, path + "items.")
    elif kind in ("string", "large_string", "binary", "large_binary"):
        _feed_text(array, kind, streams, path)
    elif kind == "bool":
        _add(streams, path + "values", _flags(array.fill_null(False)))
    else:
        _feed_fixed(array, streams, path + "values")


def _feed_text(array: Any, kind: str, streams: dict[str, Any], path: str) -> None:
    if array.null_count:
        array = array.fill_null("" if kind.endswith("string") else b"")
    lengths = importlib.import_module("pyarrow.compute").binary_length(array)
    _feed_fixed(lengths.cast("int64"), streams, path + "lengths")
    _, offsets, data = array.buffers()
    places = memoryview(offsets).cast("q" if kind.startswith("large") else "i")
    if data is not None:
        _add(streams, path + "values", memoryview(data)[places[array.offset] : places[array.offset + len(array)]])


def _feed_fixed(array: Any, streams: dict[str, Any], path: str) -> None:
    try:
        width = int(array.type.bit_width)
    except (ValueError, AttributeError):
        width = 0
    if width not in (8, 16, 32, 64):  # decimals, maps, intervals: slow, and the same however they are cut into chunks
        _add(streams, path, "".join(f"{item!r}\n" for item in array.to_pylist()).encode("utf-8", "surrogatepass"))
        return
    if array.null_count:
        array = array.view(f"int{width}").fill_null(0)
    size = width // 8
    _add(streams, path, memoryview(array.buffers()[1])[array.offset * size : (array.offset + len(array)) * size])


def _flags(array: Any) -> Any:
    bools = array.cast("uint8")
    return memoryview(bools.buffers()[1])[bools.offset : bools.offset + len(bools)]


def _add(streams: dict[str, Any], name: str, data: Any) -> None:
    if name not in streams:
        streams[name] = blake3()
    streams[name].update(data)


@describes("pandas.DataFrame", "pandas.core.frame.DataFrame")
def _pandas_frame(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "dataframe", f"{value.shape[0]} rows, {value.shape[1]} columns"
    walk.child(node, "index", value.index)
    walk.child(node, "columns", value.columns)
    for number in range(value.shape[1]):
        _pandas_values(walk, node, shorten(str(value.columns[number])), value.iloc[:, number], str(number).encode())


@describes("pandas.Series", "pandas.core.series.Series")
def _pandas_series(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "series", f"{value.dtype}, {len(value)} rows"
    walk.child(node, "name", value.name)
    walk.child(node, "index", value.index)
    _pandas_values(walk, node, "values", value, b"values")


@describes("pandas.Index", "pandas.core.indexes.base.Index", whole=True)
def _pandas_index(walk: Walk, node: Node, value: Any) -> None:
    node.kind, node.detail = "index", f"{value.dtype}, {len(value)} rows"
    walk.child(node, "names", list(value.names))
    if value.nlevels > 1:
        for number in range(value.nlevels):
            _pandas_values(walk, node, str(number), value.get_level_values(number), str(number).encode())
    else:
        _pandas_values(walk, node, "values", value, b"values")


def _pandas_values(walk: Walk, node: Node, label: str, values: Any, key: bytes) -> None:
    inner = Node(node, label)
    inner.kind, inner.detail, inner.content = "column", str(values.dtype), str(values.dtype).encode()
    array = values.array
    if type(values.dtype).__module__.partition(".")[0] == "numpy":
        walk.child(inner, "values", values.to_numpy())
    elif str(values.dtype) == "category":
        walk.child(inner, "categories", array.categories)
        walk.child(inner, "codes", array.codes)
        walk.child(inner, "ordered", bool(array.ordered))
    elif hasattr(array, "__arrow_array__"):
        walk.child(inner, "values", array.__arrow_array__())
    else:
        walk.child(inner, "values", values.to_numpy(dtype=object))
    walk.link(node, label, inner, key)


@describes("polars.dataframe.frame.DataFrame", "polars.series.series.Series")
def _polars(walk: Walk, node: Node, value: Any) -> None:
    is_frame = hasattr(value, "columns")
    node.kind, node.detail = "dataframe" if is_frame else "series", f"{len(value)} rows"
    columns = value.get_columns() if is_frame else [value]
    for number, column in enumerate(columns):
        inner = Node(node, column.name)
        inner.kind, inner.detail, inner.content = "column", str(column.dtype), str(column.dtype).encode()
        try:
            inner.content += _column_content(column.to_arrow())
        except Exception:  # noqa: BLE001 - columns of Python objects have no Arrow form, and polars panics in its own class
            walk.child(inner, "values", column.to_list())
        walk.link(node, column.name, inner, f"{number} ".encode() + column.name.encode("utf-8", "surrogatepass"))


@describes("polars.lazyframe.frame.LazyFrame")
def _lazy_frame(walk: Walk, node: Node, value: Any) -> None:
    walk.fail(node, "a LazyFrame is a plan, whose sources cannot be seen", hint="call .collect() first")


@describes("datasets.arrow_dataset.Dataset")
def _hugging_face(walk: Walk, node: Node, value: Any) -> None:
    # By content. Its _fingerprint tells how it was made: random where that cannot be hashed, and unchanged
    # where imported
    # code or a source file of the same size and time has changed.
    node.kind, node.detail = "dataset", f"{len(value)} rows"
    walk.child(node, "data", value.data.table)
    walk.child(node, "indices", None if value._indices is None else value._indices.table)
    walk.child(node, "features", repr(value.features))
    walk.child(node, "format", {name: value.format[name] for name in ("type", "columns", "output_all_columns")})


@describes("datasets.iterable_dataset.IterableDataset")
def _hugging_face_stream(walk: Walk, node: Node, value: Any) -> None:
    walk.fail(node, "an IterableDataset is a stream, not a value", hint="load it without streaming")


@describes("torch.Generator", "torch._C.Generator")
def _torch_generator(walk: Walk, node: Node, value: Any) -> None:
    node.kind = "random state"
    walk.child(node, "state", value.get_state())
