"""A run's report as text: one line per operator, then what it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from forebay import text
from forebay.cli.columns import Column

if TYPE_CHECKING:
    from forebay.pipeline.runs.report import OperatorReport, RunReport


def table(report: RunReport) -> tuple[list[Column], list[list[str]]]:
    """Return the columns and rows of a report: results computed and reused, rows in and out, seconds."""
    look = [Column("operator", flexible=True), Column("computed", right=True), Column("reused", right=True)]
    if report.dry:
        return look, [_planned(operator) for operator in (report.read, *report.operators)]
    look += [Column("rows in → out", right=True), Column("seconds", right=True)]
    return look, [_done(operator) for operator in (report.read, *report.operators)]


def _planned(operator: OperatorReport) -> list[str]:
    return [operator.name, text.count(operator.shards_computed), text.count(operator.shards_reused)]


def _done(operator: OperatorReport) -> list[str]:
    rows = f"{operator.rows_in:,} → {operator.rows_out:,}" if operator.rows_in else "-"
    return [*_planned(operator), rows, f"{operator.seconds:.2f}"]


def reasons(operators: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield why operators are computed: (name, reason) of each in order; neighbours with one reason in one line.

    ::

        operators 1-3: no earlier run of demo or with these operators
        operator 4 words_num_filter: min_num: 2 -> 3
    """
    numbered = [(number, name, reason) for number, (name, reason) in enumerate(operators, start=1)]
    for reason, neighbours in groupby(numbered, key=lambda one: one[2]):
        found = list(neighbours)
        (first, name, _), last = found[0], found[-1][0]
        if reason:
            yield f"{f'operator {first} {name}' if first == last else f'operators {first}-{last}'}: {reason}"


def closing(report: RunReport, store: Path | None) -> Iterator[str]:
    """Yield what a run comes to: rows and time, where the export is, what the store holds."""
    if report.dry:
        yield _plan(report)
        return
    if report.no_op:
        yield f"nothing to do: this very run is in the store ({text.seconds(report.seconds)})"
    else:
        yield (
            f"{text.counted(report.rows_in, 'row')} in, {report.rows_out:,} out, "
            f"{text.counted(report.shards, 'shard')}, {text.seconds(report.seconds)}"
        )
    if report.bad_rows:
        yield f"{text.counted(report.bad_rows, 'bad row')} left out (on_bad_rows: skip)"
    if report.export is not None:
        done = "wrote" if report.export.written else "up to date:"
        yield f"{done} {near(report.export.path)} ({text.size(report.export.bytes)})"
    if store is not None and report.store_bytes is not None:
        yield f"the store in {store} holds {text.size(report.store_bytes)}"


def _plan(report: RunReport) -> str:
    if report.no_op:
        return "nothing to do: this very run is in the store"
    found = f"{text.counted(report.computed, 'result')} to compute, {report.reused:,} to reuse"
    return f"{found}, over {text.counted(report.shards, 'shard')}"


def reasons_of(report: RunReport) -> Iterator[str]:
    """Yield why a run computed, or would compute, what it did."""
    if report.read.reason:
        yield f"read: {report.read.reason}"
    yield from reasons([(operator.name, operator.reason) for operator in report.operators])


def near(path: str | Path) -> str:
    """Return a path as one would type it here: relative where it is below the working folder."""
    full = Path(path)
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else str(full)
