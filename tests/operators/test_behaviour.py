"""What holds for every operator: nulls, types of text, empty shards, missing columns; boundaries do not matter."""

from __future__ import annotations

import random
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.errors import SourceError
from forebay.pipeline import catalog
from forebay.pipeline.operator import OperatorKind

HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    spec = spec_from_file_location(f"_behaviour_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


cases, support = _module("parity_cases"), _module("parity_support")
ROWS = support.table(cases.ROWS)
EVERY = [*cases.MAPPERS, *cases.FILTERS, *cases.GLOBALS]
BY_KIND = {kind: [case for case in EVERY if catalog.find(case[0]).kind is kind] for kind in OperatorKind}
MAPPERS, FILTERS = BY_KIND[OperatorKind.MAPPER], BY_KIND[OperatorKind.FILTER]
GLOBALS = BY_KIND[OperatorKind.DEDUPLICATOR] + BY_KIND[OperatorKind.SELECTOR]
TEXT_OPERATORS = [name for name in catalog.names() if catalog.find(name).reads == ("{text_key}",)]


def _defaults(group: list[Any]) -> list[Any]:
    return [case for case in group if not case[1] or "field_key" in case[1] or "suffixes" in case[1]]


def _run(name: str, params: dict[str, Any], rows: pa.Table) -> Any:
    kind = catalog.find(name).kind
    if kind is OperatorKind.MAPPER:
        return support.mapped(name, params, rows)
    if kind is OperatorKind.FILTER:
        stats, keep = support.filtered(name, params, rows)
        return stats, keep.tolist()
    return support.selected(name, params, [rows]).tolist()


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, len(cases.TEXTS)), max_size=12))
def test_boundaries_do_not_matter_to_mappers_and_filters(bounds: list[int]) -> None:
    parts = support.shards(ROWS, bounds)
    for name, params in _defaults(MAPPERS):
        pieces = [support.mapped(name, params, part) for part in parts]
        assert list(chain(*pieces)) == support.mapped(name, params, ROWS)
    for name, params in _defaults(FILTERS):
        whole_stats, whole = support.filtered(name, params, ROWS)
        answers = [support.filtered(name, params, part) for part in parts]
        assert np.array_equal(np.concatenate([keep for _, keep in answers]), whole)
        for key, values in whole_stats.items():
            assert list(chain(*(stats[key] for stats, _ in answers))) == values


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, len(cases.TEXTS)), max_size=12))
def test_boundaries_do_not_matter_to_deduplicators_and_selectors(bounds: list[int]) -> None:
    parts = support.shards(ROWS, bounds)
    for name, params in GLOBALS:
        assert np.array_equal(support.selected(name, params, parts), support.selected(name, params, [ROWS]))


@pytest.mark.parametrize("name", TEXT_OPERATORS)
def test_large_strings_slices_and_dictionaries_are_text_too(name: str) -> None:
    texts = ROWS.select(["text"])
    expected = _run(name, {}, texts)
    large = pa.table({"text": texts.column("text").combine_chunks().cast(pa.large_string())})
    assert _run(name, {}, large) == expected
    padded = pa.concat_tables([texts.slice(5, 3), texts, texts.slice(0, 2)]).combine_chunks().slice(3, len(texts))
    assert _run(name, {}, padded) == expected
    column = texts.column("text").chunk(0)
    chunked = pa.table({"text": pa.chunked_array([column.slice(0, 9), column.slice(9)])})
    assert _run(name, {}, chunked) == expected
    encoded = pa.table({"text": texts.column("text").combine_chunks().dictionary_encode()})
    assert _run(name, {}, encoded) == expected


@pytest.mark.parametrize("name", [name for name, _ in _defaults(MAPPERS)])
def test_a_mapper_keeps_the_type_of_the_column(name: str) -> None:
    for kind in (pa.string(), pa.large_string()):
        column = ROWS.column("text").combine_chunks().cast(kind)
        after = catalog.find(name).bind().load().map(pa.table({"text": column}))
        assert all(array.type == kind for array in after.values())
        for array in after.values():
            array.validate(full=True)


@pytest.mark.parametrize("name", TEXT_OPERATORS)
def test_null_texts(name: str) -> None:
    rng = random.Random(3)
    texts = [text if rng.random() < 0.7 else None for text in cases.TEXTS]
    present = [text for text in texts if text is not None]
    answer = _run(name, {}, pa.table({"text": pa.array(texts, pa.string())}))
    alone = _run(name, {}, pa.table({"text": pa.array(present, pa.string())}))
    there = [number for number, text in enumerate(texts) if text is not None]
    kind = catalog.find(name).kind
    if kind is OperatorKind.MAPPER:
        assert [answer[number] for number in there] == alone
        assert [value is None for value in answer] == [text is None for text in texts]
    elif kind is OperatorKind.FILTER:
        stats, keep = answer
        assert [keep[number] for number in there] == alone[1]
        assert not any(keep[number] for number, text in enumerate(texts) if text is None)
        for key, values in stats.items():
            assert [values[number] for number in there] == alone[0][key]
            assert all(values[number] is None for number, text in enumerate(texts) if text is None)
        _, outside = _run(name, {"reversed_range": True}, pa.table({"text": pa.array(texts, pa.string())}))
        assert not any(outside[number] for number, text in enumerate(texts) if text is None)
    else:
        assert [answer[number] for number in there] == alone
        assert all(answer[number] for number, text in enumerate(texts) if text is None)


@pytest.mark.parametrize("name", TEXT_OPERATORS)
def test_columns_of_nothing(name: str) -> None:
    kind = catalog.find(name).kind
    no_rows = [pa.array([], pa.string()), pa.array([], pa.large_string()), pa.nulls(0)]
    for column in (*no_rows, pa.nulls(3), pa.nulls(3, pa.string())):
        answer = _run(name, {}, pa.table({"text": column}))
        if kind is OperatorKind.MAPPER:
            assert answer == [None] * len(column)
        elif kind is OperatorKind.FILTER:
            assert answer[1] == [False] * len(column)
        else:
            assert answer == [True] * len(column)
    empty = _run(name, {}, pa.table({"text": ["", "", ""]}))
    assert empty == {
        OperatorKind.MAPPER: ["", "", ""],
        OperatorKind.DEDUPLICATOR: [True, False, False],
    }.get(kind, empty)


@pytest.mark.parametrize("name", TEXT_OPERATORS)
def test_bytes_hidden_behind_nulls_are_not_text(name: str) -> None:
    texts = pa.array(["one two", "HIDDEN http://a.com/b \tx", "three  "])
    buffers = texts.buffers()
    bitmap = pa.py_buffer(bytes([0b101]))
    masked = pa.Array.from_buffers(pa.string(), 3, [bitmap, *buffers[1:]])
    clean = pa.array(["one two", None, "three  "])
    assert _run(name, {}, pa.table({"text": masked})) == _run(name, {}, pa.table({"text": clean}))


@pytest.mark.parametrize("name", TEXT_OPERATORS)
def test_a_missing_column_is_told_with_those_there_are(name: str) -> None:
    with pytest.raises(SourceError, match="no column 'text'; columns there are: body, id"):
        _run(name, {}, pa.table({"body": ["a"], "id": [1]}))
    with pytest.raises(SourceError, match="column 'text' holds int64, not text"):
        _run(name, {}, pa.table({"text": [1, 2]}))
    other = _run(name, {"text_key": "body"}, pa.table({"body": ["a b c"], "id": [1]}))
    assert other == _run(name, {}, pa.table({"text": ["a b c"]}))


@pytest.mark.parametrize("name", ["alphanumeric_filter", "whitespace_normalization_mapper", "clean_links_mapper"])
def test_bytes_that_are_no_utf8_are_told(name: str) -> None:
    broken = pa.array([b"fine", b"caf\xe9 http://\xe9.com/ \xe9 "]).view(pa.string())
    with pytest.raises(SourceError, match="row 2 of the shard is not UTF-8"):
        _run(name, {}, pa.table({"text": broken}))


@pytest.mark.parametrize(("name", "params"), [
    ("specified_field_filter", {"target_value": ["x"]}),
    ("topk_specified_field_selector", {"topk": 3}),
    ("frequency_specified_field_selector", {"topk": 3}),
])  # fmt: skip
def test_a_missing_field_is_told_with_those_there_are(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match=r"no field 'meta.nope'; fields of meta: source, rank"):
        _run(name, {**params, "field_key": "meta.nope"}, ROWS)
    with pytest.raises(SourceError, match=r"no field 'score.deep': score holds double, no fields"):
        _run(name, {**params, "field_key": "score.deep"}, ROWS)
    with pytest.raises(SourceError, match="no column 'nope'"):
        _run(name, {**params, "field_key": "nope"}, ROWS)


def test_rows_without_an_order_are_refused() -> None:
    select = ("topk_specified_field_selector", {"topk": 1, "field_key": "x"})
    with pytest.raises(SourceError, match="column 'x' has nulls"):
        _run(*select, pa.table({"x": [1, None]}))
    with pytest.raises(SourceError, match="column 'x' holds list"):
        _run(*select, pa.table({"x": [[1], [2]]}))
    with pytest.raises(SourceError, match="only numbers and text can be counted"):
        _run("frequency_specified_field_selector", select[1], pa.table({"x": [[1], [2]]}))


@pytest.mark.parametrize(("name", "params"), [
    ("random_selector", {"select_num": 5}),
    ("topk_specified_field_selector", {"field_key": "", "topk": 1}),
    ("topk_specified_field_selector", {"field_key": "x"}),
    ("frequency_specified_field_selector", {"field_key": "x", "top_ratio": 0.0}),
])  # fmt: skip
def test_a_selector_without_a_choice_keeps_everything(name: str, params: dict[str, Any]) -> None:
    assert _run(name, params, pa.table({"x": [3, 1, 2]})) == [True] * 3


@pytest.mark.parametrize(("name", "params"), GLOBALS)
def test_no_shards_give_no_masks(name: str, params: dict[str, Any]) -> None:
    assert list(catalog.find(name).bind(params).load().select(iter([]))) == []


def test_an_unchanged_column_is_left_out() -> None:
    clean = pa.table({"text": ["nothing to do here", "nor here"]})
    for name, params in MAPPERS:
        if "max_len" not in params:
            assert dict(catalog.find(name).bind(params).load().map(clean)) == {}, name
