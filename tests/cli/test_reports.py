"""A run's report as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forebay.cli import columns, reports
from forebay.pipeline.runs.report import ExportReport, OperatorReport, RunReport
from forebay.types import Key

REPORT = RunReport(
    project="demo",
    operators=(
        OperatorReport("whitespace_normalization_mapper", "mapper", 30, 1, 1790, 1790, 0.412, "never computed before"),
        OperatorReport("text_length_filter", "filter", 31, 0, 1790, 1712, 0.05, "never computed before"),
    ),
    shards=31,
    rows_in=1790,
    rows_out=1712,
    seconds=1.234,
    read=OperatorReport("read", "source", 31, 0, 0, 1790, 0.3),
    export=ExportReport("/data/clean.jsonl", written=True, bytes=24_100_000),
    store_bytes=41_200_000,
    run_key=Key("ab" * 32),
)


def test_each_operator_is_a_line() -> None:
    assert list(columns.lines(*reports.table(REPORT))) == [
        "operator                         computed  reused  rows in → out  seconds",
        "read                                   31       0              -     0.30",
        "whitespace_normalization_mapper        30       1  1,790 → 1,790     0.41",
        "text_length_filter                     31       0  1,790 → 1,712     0.05",
    ]


def test_the_closing_lines_say_where_everything_is() -> None:
    assert list(reports.closing(REPORT, Path("/home/store"))) == [
        "1,790 rows in, 1,712 out, 31 shards, 1.23 s",
        "wrote /data/clean.jsonl (24.1 MB)",
        "the store in /home/store holds 41.2 MB",
    ]


def test_what_was_not_done_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    again = replace(
        REPORT, no_op=True, bad_rows=2, seconds=0.02, export=ExportReport(str(tmp_path / "out/a.jsonl"), False, 900)
    )
    assert list(reports.closing(again, None)) == [
        "nothing to do: this very run is in the store (0.02 s)",
        "2 bad rows left out (on_bad_rows: skip)",
        "up to date: out/a.jsonl (900 B)",
    ]


def test_a_plan_says_what_and_why() -> None:
    plan = replace(REPORT, dry=True, read=OperatorReport("read", "source", 0, 31), seconds=0.1)
    assert list(columns.lines(*reports.table(plan))) == [
        "operator                         computed  reused",
        "read                                    0      31",
        "whitespace_normalization_mapper        30       1",
        "text_length_filter                     31       0",
    ]
    assert list(reports.reasons_of(plan)) == ["operators 1-2: never computed before"]
    assert list(reports.closing(plan, None)) == ["61 results to compute, 1 to reuse, over 31 shards"]
    assert list(reports.closing(replace(plan, no_op=True), None)) == ["nothing to do: this very run is in the store"]


def test_neighbours_with_one_reason_share_a_line() -> None:
    told = reports.reasons([("a", "new"), ("b", "new"), ("c", ""), ("d", "new"), ("e", "x: 1 -> 2")])
    assert list(told) == ["operators 1-2: new", "operator 4 d: new", "operator 5 e: x: 1 -> 2"]
