"""Shards of one table may show an operator different things: no rows, no such column, another type."""

from __future__ import annotations

from typing import Any

import pytest
from pipeline_support import Bench

SHARDS = """
def last(row):
    return row["id"] > 290

def word(row):
    return {**row, "word": row["text"].split()[0], "in": {"n": row["id"]}}

def half(row):
    return {**row, "half": row["id"] if row["id"] < 150 else row["id"] + 0.5}

def rare(row):
    return {**row, "rare": "x" if row["id"] > 150 else None}
"""


@pytest.fixture
def written(bench: Bench) -> Bench:
    (bench.folder / "ops.py").write_text(SHARDS)
    return bench


@pytest.mark.parametrize(
    ("step", "rows"),
    [
        ({"text_length_filter": {"text_key": "word", "min_len": 1}}, 9),
        ({"whitespace_normalization_mapper": {"text_key": "word"}}, 9),
        ({"specified_field_filter": {"field_key": "in.n", "target_value": [299]}}, 1),
        ({"topk_specified_field_selector": {"field_key": "in.n", "topk": 3}}, 3),
        ({"topk_specified_field_selector": {"field_key": "word", "topk": 3}}, 3),
        ({"filter": {"function": "ops.py:last", "reads": ["id", "word"]}}, 9),
        ({"deduplicator": {"function": "ops.py:last", "reads": ["id", "word"]}}, 1),
    ],
)
def test_a_column_added_after_a_filter_that_left_nothing_of_some_shards(
    written: Bench, step: dict[str, Any], rows: int
) -> None:
    written.steps = [{"filter": {"function": "ops.py:last"}}, {"mapper": {"function": "ops.py:word"}}, step]
    report = written.run()
    assert report.shards > 1
    assert report.rows_out == rows


@pytest.mark.parametrize("name", ["half", "rare"])
def test_fields_whose_type_differs_from_shard_to_shard_are_counted(written: Bench, name: str) -> None:
    counted = {"frequency_specified_field_selector": {"field_key": name, "topk": 300}}
    written.steps = [{"mapper": {"function": f"ops.py:{name}"}}, counted]
    assert written.run().rows_out == len(written.rows)


def test_numbers_whose_type_differs_from_shard_to_shard_are_ranked(written: Bench) -> None:
    ranked = {"topk_specified_field_selector": {"field_key": "half", "topk": 2}}
    written.steps = [{"mapper": {"function": "ops.py:half"}}, ranked]
    written.run()
    assert [row["half"] for row in written.exported()] == [298.5, 299.5]
