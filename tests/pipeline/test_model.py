"""The engine against a model of a recipe in plain Python: any chain, any edits between runs, any way of running."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_support import Bench

Row = dict[str, Any]

OPS = """
def upper(row):
    row["text"] = row["text"].upper()
    return row

def label(row):
    row["size"] = len(row["text"])
    return row

def rename(row):
    return {"id": row["id"], "text": row["text"] + ".", "old": row["text"]}

def short(row, most):
    return len(row["text"]) <= most

def words(row):
    return [{"id": row["id"], "text": word} for word in row["text"].split()]

def same(row):
    return row["text"]

def score(row):
    return len(row["text"])
"""


def dedup(rows: list[Row], key: Callable[[str], str] = str) -> list[Row]:
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(key(row["text"]), row)
    return list(first.values())


def top(rows: list[Row]) -> list[Row]:
    best = sorted(range(len(rows)), key=lambda at: -len(rows[at]["text"]))[:5]
    return [rows[at] for at in sorted(best)]


def use(kind: str, function: str, **options: Any) -> dict[str, Any]:
    return {kind: {"function": f"ops.py:{function}", **options}}


Operator = tuple[object, Callable[[list[Row]], list[Row]]]

OPERATORS: list[Operator] = [
    (use("mapper", "upper"), lambda rows: [{**row, "text": row["text"].upper()} for row in rows]),
    (use("mapper", "label"), lambda rows: [{**row, "size": len(row["text"])} for row in rows]),
    (
        use("mapper", "rename"),
        lambda rows: [{"id": row["id"], "text": row["text"] + ".", "old": row["text"]} for row in rows],
    ),
    (use("filter", "short", params={"most": 12}), lambda rows: [row for row in rows if len(row["text"]) <= 12]),
    (use("filter", "short", params={"most": 6}), lambda rows: [row for row in rows if len(row["text"]) <= 6]),
    (
        use("flat_mapper", "words"),
        lambda rows: [{"id": row["id"], "text": word} for row in rows for word in row["text"].split()],
    ),
    (use("deduplicator", "same"), dedup),
    (use("selector", "score", top=5), top),
    ({"text_length_filter": {"min_len": 3}}, lambda rows: [row for row in rows if len(row["text"]) >= 3]),
    ("document_deduplicator", lambda rows: dedup(rows, str.strip)),
]

ROW = st.builds(lambda number, text: {"id": number, "text": text}, st.integers(0, 99), st.text("ab c", max_size=16))
ROWS = st.lists(ROW, min_size=1, max_size=40)
CHAINS = st.lists(st.integers(0, len(OPERATORS) - 1), max_size=5)


def columns_of(chain: list[int]) -> list[str]:
    """Columns of the result, in order: a row has them all, though no row may be left to show it."""
    names = ["id", "text"]
    gives = {1: [*names, "old", "size"], 2: ["id", "text", "old"], 5: ["id", "text"]}
    for at in chain:
        new = [name for name in gives.get(at, names) if name != "old" or at == 2 or "old" in names]
        names = [name for name in names if name in new] + [name for name in new if name not in names]
    return names


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, chains=st.lists(CHAINS, min_size=1, max_size=3), edits=st.lists(ROWS, max_size=2), data=st.data())
def test_the_engine_is_the_model(rows: list[Row], chains: list[list[int]], edits: list[list[Row]], data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), rows)
        (bench.folder / "ops.py").write_text(OPS)
        for step, chain in enumerate(chains):
            if step and step <= len(edits):
                at = data.draw(st.integers(0, len(bench.rows)))
                bench.rows = bench.rows[:at] + edits[step - 1] + bench.rows[at + 1 :]
            bench.write()
            bench.steps = [OPERATORS[one][0] for one in chain]
            bench.recipe["shard_bytes"] = data.draw(st.sampled_from([40, 200, 10**6]))
            use_cache = data.draw(st.booleans()) if step else True
            bench.run(use_cache=use_cache, check=data.draw(st.booleans()))
            expected = [dict(row) for row in bench.rows]
            for one in chain:
                expected = OPERATORS[one][1](expected)
            found = bench.exported()
            assert [{key: row[key] for key in row if row[key] is not None} for row in found] == expected
            for row in found:
                assert list(row) == columns_of(chain)
