"""Arrays and tables: by content, however they lie in memory."""

from __future__ import annotations

import datetime
import decimal
import os
import signal
import time

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.errors import UnhashableError
from forebay.fingerprint import tree


def digest(value):
    return tree(value).digest


@pytest.fixture(scope="module", autouse=True)
def libraries_started(tmp_path_factory):
    """Some libraries keep threads and descriptors from their first use on; that is no leak of ours."""
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"a": [1]}).save_to_disk(str(tmp_path_factory.mktemp("started")))
    pl.DataFrame({"a": ["x"]}).with_columns(pl.col("a").cast(pl.Categorical)).lazy().collect()


def all_differ(values):
    digests = [digest(value) for value in values]
    assert len(set(digests)) == len(digests)


def test_numpy_memory_layout_does_not_count():
    array = np.arange(24.0).reshape(4, 6)
    assert digest(array) == digest(np.asfortranarray(array)) == digest(array.copy())
    assert digest(array[::2, 1:]) == digest(array[::2, 1:].copy())
    assert digest(np.broadcast_to(np.float32(1), (3, 2))) == digest(np.ones((3, 2), np.float32))
    assert digest(np.array(["2024-01-01"], "M8[D]")) == digest(np.array(["2024-01-01"], "M8[D]"))


def test_large_arrays_can_be_keyed_before_and_after_a_fork():
    array = np.arange(4 << 20)
    wanted = digest(array)
    child = os.fork()
    if child == 0:
        os._exit(digest(array) != wanted)
    deadline = time.monotonic() + 30
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if done == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done == (child, 0)


def test_numpy_values_types_and_shapes_count():
    array = np.arange(6.0)
    all_differ(
        [
            array,
            array[::-1],
            array.reshape(2, 3),
            array.reshape(3, 2),
            array.astype("f4"),
            array.astype(">f8"),
            array[:0],
            array[:0].reshape(0, 3),
            list(array),
            array[0],
            np.float32(0),
            0.0,
            np.int64(0),
            np.bool_(False),
            np.str_("0"),
            np.array(0.0),
            np.array([True]),
            np.array([1], "i1"),
            np.array(["a"]),
            np.array([b"a"]),
            np.array(["2024"], "M8[Y]"),
            np.array(["a"], np.dtypes.StringDType()),
            np.array(["b"], np.dtypes.StringDType()),
            np.array([1, "a", None], object),
            np.array([1, "b", None], object),
            np.dtype("f4"),
            np.dtype(">f4"),
            np.dtype([("a", "f4")]),
        ]
    )


def test_numpy_padding_and_masked_values_do_not_count():
    layout = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    one, other = np.zeros(3, layout), np.empty(3, layout)
    other.view("u1")[:] = 255
    other["a"], other["b"] = 0, 0
    assert digest(one) == digest(other)
    other["b"][1] = 1
    assert digest(one) != digest(other)
    masked = [np.ma.array(values, mask=[False, True]) for values in ([1, 2], [1, 3], [2, 2])]
    assert digest(masked[0]) == digest(masked[1])
    all_differ([masked[0], masked[2], np.ma.array([1, 2]), np.array([1, 2])])


def test_numpy_random_states():
    def advanced():
        rng = np.random.default_rng(3)
        rng.random()
        return rng

    makers = [
        lambda: np.random.default_rng(3),
        lambda: np.random.default_rng(4),
        advanced,
        lambda: np.random.RandomState(3),
    ]
    for make in makers:
        assert digest(make()) == digest(make())
    all_differ([make() for make in makers])


def test_numpy_functions():
    all_differ([np.add, np.multiply, np.sum, np.linalg.norm])
    with pytest.raises(UnhashableError, match="use the Python function itself"):
        tree(np.frompyfunc(lambda x: x, 1, 1))
    assert digest(np.vectorize(lambda x: x + 1)) != digest(np.vectorize(lambda x: x + 2))


COLUMNS = {
    "text": pa.array(["a", None, "bb", ""]),
    "large": pa.array(["a", None, "bb", ""], pa.large_string()),
    "view": pa.array(["a", None, "bb and more than twelve", ""], pa.string_view()),
    "bytes": pa.array([b"a", None, b"", b"zz"]),
    "int": pa.array([1, None, 3, 4]),
    "bool": pa.array([True, None, False, True]),
    "float": pa.array([1.5, None, 0.0, float("nan")]),
    "half": pa.array(np.array([1, 2, 3, 4], "f2")),
    "list": pa.array([[1], None, [], [2, 3]]),
    "fixed": pa.array([[1, 2], None, [3, 4], [5, 6]], pa.list_(pa.int8(), 2)),
    "nested": pa.array([[["a"]], None, [[], ["b"]], [None]]),
    "struct": pa.array([{"x": 1, "y": "q"}, None, {"x": None, "y": "z"}, {"x": 2, "y": None}]),
    "map": pa.array([[("k", 1)], None, [], [("j", 2)]], pa.map_(pa.string(), pa.int64())),
    "words": pa.array(["a", "b", None, "a"]).dictionary_encode(),
    "time": pa.array([datetime.datetime(2024, 1, 1), None, datetime.datetime(2025, 1, 1), None]),
    "date": pa.array([datetime.date(2024, 1, 1), None, None, None]),
    "decimal": pa.array([decimal.Decimal("1.5"), None, decimal.Decimal("2.5"), None]),
    "null": pa.nulls(4),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_arrow_slices_and_chunks_do_not_count(name):
    column = COLUMNS[name]
    whole = digest(pa.chunked_array([column]))
    assert digest(pa.chunked_array([column[:1], column[1:3], column[3:]])) == whole
    twice = pa.concat_arrays([column, column])
    assert digest(pa.chunked_array([twice[4:]])) == whole
    assert digest(pa.chunked_array([twice])) != whole
    if name != "null":
        first, second, *rest = column.to_pylist()
        other = pa.array([second, first, *rest], column.type)
        assert digest(pa.chunked_array([other])) != whole


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3), max_size=8),
    st.lists(st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3), max_size=8),
    st.integers(0, 8),
)
def test_arrow_columns_are_equal_exactly_when_their_values_are(one, other, cut):
    kind = pa.list_(pa.string())
    first, second = pa.array(one, kind), pa.array(other, kind)
    assert (digest(first) == digest(second)) == (one == other)
    cut = min(cut, len(one))
    assert digest(pa.chunked_array([first[:cut], first[cut:]])) == digest(pa.chunked_array([first]))


def test_what_stands_under_an_arrow_null_does_not_count():
    hidden = pa.Array.from_buffers(pa.int64(), 3, [pa.py_buffer(b"\x05"), pa.array([1, 77, 3]).buffers()[1]])
    assert digest(hidden) == digest(pa.array([1, None, 3]))


def test_arrow_tables():
    table = pa.table(dict(COLUMNS.items()))
    assert digest(table) == digest(pa.concat_tables([table[:1], table[1:]]))
    assert digest(table) == digest(table.replace_schema_metadata({"made": "by"}))
    assert [child.label for child in tree(table).children] == list(COLUMNS)
    all_differ(
        [
            table,
            table[:3],
            table.select(["int"]),
            table.rename_columns([f"{name}_" for name in COLUMNS]),
            table.schema,
            table.select(["text", "int"]),
            table.select(["int", "text"]),
            pa.int32(),
            pa.int64(),
            pa.scalar(1),
            pa.scalar(1.0),
            table.schema.field(0),
            pa.py_buffer(b"a"),
            pa.py_buffer(b"b"),
        ]
    )
    assert digest(table.to_batches()[0]) == digest(table)


def test_pandas():
    frame = pd.DataFrame(
        {
            "a": [1, 2],
            "b": ["x", None],
            "c": pd.Categorical(["u", "v"]),
            "d": pd.to_datetime(["2024", "2025"]),
            "e": pd.array([1, None], dtype="Int64"),
            "f": pd.to_datetime(["2024", "2025"]).tz_localize("UTC"),
            "g": [[1], {}],
        }
    )
    assert digest(frame) == digest(frame.copy()) == digest(frame[list(frame.columns)])
    changed = frame.copy()
    changed.loc[0, "b"] = "y"
    recoded = frame.assign(c=pd.Categorical(["u", "v"], categories=["v", "u"]))
    all_differ(
        [
            frame,
            changed,
            recoded,
            frame.iloc[::-1],
            frame.set_index("a"),
            frame.set_index(["a", "b"]),
            frame["a"],
            frame["b"],
            frame.rename(columns={"a": "z"}),
            frame.index,
            frame.astype({"a": "int32"}),
            pd.Timestamp(1),
            pd.Timestamp(2),
        ]
    )


def test_polars():
    frame = pl.DataFrame(
        {"a": [1, 2], "b": ["x", None], "c": [[1], [2]], "d": pl.Series(["u", "v"], dtype=pl.Categorical)}
    )
    assert digest(frame) == digest(frame.clone()) == digest(pl.concat([frame[:1], frame[1:]], rechunk=False))
    things = pl.DataFrame({"o": pl.Series([object, print], dtype=pl.Object)})
    all_differ(
        [
            frame,
            frame.reverse(),
            frame["a"],
            frame["a"].alias("z"),
            frame.with_columns(pl.col("a").cast(pl.Int8)),
            things,
        ]
    )
    with pytest.raises(UnhashableError, match=r"call \.collect\(\) first"):
        tree(frame.lazy())


def test_hugging_face_datasets_are_keyed_by_content(tmp_path):
    made = datasets.Dataset.from_dict({"a": [1, 2, 3]})
    assert digest(made) == digest(datasets.Dataset.from_dict({"a": [1, 2, 3]}))
    made.save_to_disk(str(tmp_path / "d"))
    assert digest(datasets.load_from_disk(str(tmp_path / "d"))) == digest(made)
    all_differ(
        [made, made.select([0, 2]), made.select([2, 0]), made.rename_column("a", "b"), made.with_format("numpy")]
    )
    assert digest(datasets.DatasetDict({"train": made})) != digest(datasets.DatasetDict({"test": made}))
    with pytest.raises(UnhashableError, match="without streaming"):
        tree(made.to_iterable_dataset())
