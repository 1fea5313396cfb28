"""Is the export that a run would write standing there already? Asked of every rerun, so it is light."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from forebay.errors import InputError
from forebay.fingerprint import file_digest
from forebay.pipeline.recipes.recipe import Export
from forebay.pipeline.runs.report import ExportReport
from forebay.types import Digest, Entry

if TYPE_CHECKING:
    from forebay.store import Store


def up_to_date(export: Export, run: Entry, store: Store) -> ExportReport | None:
    """Return a report if the file at the export's path is what a remembered run exported; else None."""
    known = run.meta.get("export")
    if not isinstance(known, dict) or digest_at(export.path, store) != known["digest"]:
        return None
    return ExportReport(str(export.path), False, cast("int", known["bytes"]), str(known["digest"]))


def digest_at(path: Path, store: Store) -> Digest | None:
    """Return the digest of the file at a path, by its times where it is remembered; None where no file can be read."""
    try:
        return file_digest(path, store.file_memo)
    except InputError:
        return None  # nothing there, or nothing that can be read
