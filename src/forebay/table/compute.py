"""Arrow's compute functions by name, without `pyarrow.compute`.

That module makes and documents a Python function for each of Arrow's when it is imported, which takes a fifth of the
time that a worker needs until it is ready; the methods of arrays (`take`, `cast` …) import it, too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa

try:
    _arrow: Any = importlib.import_module("pyarrow._compute")
except ImportError:  # a pyarrow to come may keep them elsewhere
    _arrow = importlib.import_module("pyarrow.compute")

Values = TypeVar("Values", "pa.Array", "pa.ChunkedArray", "pa.Table")

MatchSubstringOptions: Any = _arrow.MatchSubstringOptions
SortOptions: Any = _arrow.SortOptions


def call(name: str, *arguments: object, options: object = None) -> Any:
    """Return what one of Arrow's functions makes of arrays and scalars.

    Raises:
        pyarrow.ArrowException: it cannot take them.
    """
    return _arrow.call_function(name, list(arguments), options)


def take(values: Values, index: pa.Array) -> Values:
    """Return the values (or a table's rows) at `index`, null where it is null."""
    return call("take", values, index)


def cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the values as another type.

    Raises:
        pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError: a value does not fit.
    """
    return call("cast", array, options=_arrow.CastOptions.safe(kind))


def encode(array: pa.Array) -> pa.DictionaryArray:
    """Return the values as numbers of a dictionary, in the order in which they are first seen; null is one of them.

    Raises:
        pyarrow.ArrowNotImplementedError: there are no dictionaries of that type.
    """
    return call("dictionary_encode", array, options=_arrow.DictionaryEncodeOptions("encode"))
