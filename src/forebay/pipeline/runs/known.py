"""A rerun whose result is known: its report, after a few look-ups. Asked for by every rerun, so it is light."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from forebay.errors import InputError, NotFoundError, StoreError
from forebay.fingerprint import file_digest
from forebay.pipeline.recipes.recipe import Export
from forebay.pipeline.runs import record
from forebay.pipeline.runs.report import ExportReport, RunReport
from forebay.pipeline.runs.request import Request
from forebay.types import Digest, Entry, Key

if TYPE_CHECKING:
    from forebay.pipeline.runs.result import Result
    from forebay.store import Store
    from forebay.table import Table


def look_up(run: Request, key: Key, export_again: Callable[[Result], ExportReport | None]) -> RunReport | None:
    """Return the report of a run whose result is known; None where there is more to do than an export.

    Args:
        run: what was asked for; it has a store.
        key: the run's.
        export_again: writes a known result where the file that it was exported to has gone; None: it cannot.
    """
    assert run.store is not None
    try:
        entry = run.store.get("run", key)
        if entry is None:
            return None
        export = None
        if run.recipe.export is not None:
            export = _up_to_date(run.recipe.export, entry, run.store)
        if run.options.need_table or (export is None and not run.options.dry_run):
            return _with_table(run, entry, export, export_again)
    except StoreError:
        return None
    if run.recipe.export is not None and export is None:
        export = ExportReport(str(run.recipe.export.path), written=True)  # a dry run: it would be
    return _unchanged(run, entry, export, None)


def digest_at(path: Path, store: Store) -> Digest | None:
    """Return the digest of the file at a path, by its times where it is remembered; None where no file can be read."""
    try:
        return file_digest(path, store.file_memo)
    except InputError:
        return None  # nothing there, or nothing that can be read


def _up_to_date(export: Export, run: Entry, store: Store) -> ExportReport | None:
    """Return a report if the file at the export's path is what a remembered run exported; else None."""
    known = run.meta.get("export")
    if not isinstance(known, dict) or digest_at(export.path, store) != known["digest"]:
        return None
    return ExportReport(str(export.path), False, cast("int", known["bytes"]), str(known["digest"]))


def _with_table(
    run: Request, entry: Entry, export: ExportReport | None, export_again: Callable[[Result], ExportReport | None]
) -> RunReport | None:
    """The report where the table is wanted too: by the caller, or to write an export that has gone."""
    assert run.store is not None
    from forebay.pipeline.runs.result import Result

    result = Result.find(run.store, Key(str(entry.meta["table"])))
    if result is None:
        return None
    if run.recipe.export is not None and export is None:
        export = export_again(result)
        if export is None:
            return None
    return _unchanged(run, entry, export, result)


def _unchanged(run: Request, entry: Entry, export: ExportReport | None, result: Result | None) -> RunReport:
    assert run.store is not None
    if not run.options.dry_run:
        run.point_at(entry.key)
        if run.recipe.retain != "all":
            from forebay.pipeline.runs import retention

            retention.apply_to_known(run.store, entry, run.recipe)
    report = record.report_of(entry, run.recipe.project, time.perf_counter() - run.began, export)
    find = partial(_find_table, run.store, Key(str(entry.meta["table"]))) if result is None else result.open
    return replace(report, dry=run.options.dry_run, _open=find, store_bytes=run.store_bytes())


def _find_table(store: Store, key: Key) -> Table:
    from forebay.pipeline.runs.result import Result

    result = Result.find(store, key)
    if result is None:
        raise NotFoundError("the table of this run is no longer in the store", subject=key, hint="run it again")
    return result.open()
