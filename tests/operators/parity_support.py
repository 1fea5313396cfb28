"""Asking the native operators what Data-Juicer was asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from forebay.pipeline import catalog


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows))


def shards(rows: pa.Table, bounds: Sequence[int]) -> list[pa.Table]:
    """Cut a table at `bounds`, each shard's columns in one chunk of their own."""
    edges = [0, *sorted(bounds), rows.num_rows]
    return [pa.Table.from_pylist(rows.slice(a, b - a).to_pylist(), rows.schema) for a, b in pairwise(edges)]


def mapped(name: str, params: dict[str, Any], rows: pa.Table) -> list[Any]:
    use = catalog.find(name).bind(params)
    column = use.params["text_key"]
    after = use.load().map(rows)
    assert set(after) <= {column}
    return after.get(column, rows.column(column)).to_pylist()


def filtered(name: str, params: dict[str, Any], rows: pa.Table) -> tuple[dict[str, list[Any]], np.ndarray]:
    operator = catalog.find(name).bind(params).load()
    stats = operator.stats(rows)
    keep = operator.keep(rows, stats)
    assert keep.dtype == bool
    assert keep.shape == (rows.num_rows,)
    return {key: column.to_pylist() for key, column in stats.items()}, keep


def selected(name: str, params: dict[str, Any], parts: Sequence[pa.Table]) -> np.ndarray:
    operator = catalog.find(name).bind(params).load()
    masks = list(operator.select(iter([operator.summarise(part) for part in parts])))
    assert [len(mask) for mask in masks] == [part.num_rows for part in parts]
    return np.concatenate([np.zeros(0, bool), *masks])


def signatures(params: dict[str, Any], rows: pa.Table) -> tuple[list[str], tuple[int, int]]:
    """Return a digest of each row's signature, laid out in bands as Data-Juicer lays it out, and the bands."""
    from forebay.pipeline.operators.texts import Texts

    operator = catalog.find("document_minhash_deduplicator").bind(params).load()
    bands, width = operator.bands
    values = operator.signatures(Texts.of(rows, "text")).astype(np.uint64)[:, : bands * width]
    return [hashlib.sha256(row.byteswap().tobytes()).hexdigest()[:16] for row in values], (bands, width)
