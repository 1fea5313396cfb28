"""What a run starts from, by content: the files of a recipe, known by digest.

Digests are remembered by (device, inode, size, times), so an unchanged file is not even opened. Looked at by every
rerun, so it is light; cutting and reading are `forebay.pipeline.runs.intake`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.errors import RecipeError
from forebay.events import Event, Hook, What, ignore
from forebay.pipeline.recipes.recipe import Recipe
from forebay.pipeline.runs.origin import KnownFile
from forebay.table.options import ReadOptions
from forebay.table.proving import content_of
from forebay.table.resolving import resolve, would_read
from forebay.types import JSON, Key

if TYPE_CHECKING:
    from forebay.pipeline.runs.flow import Flow, Moving
    from forebay.store import Store
    from forebay.table.schema import Schema

_NAMED = 3
"""How many of the files that are left out are named."""


def read_options(recipe: Recipe) -> ReadOptions:
    """Return how a recipe wants its sources read."""
    options = ReadOptions(on_bad_rows=recipe.on_bad_rows)
    return options if recipe.shard_bytes is None else replace(options, shard_bytes=recipe.shard_bytes)


class FilesOrigin:
    """The files of a recipe."""

    def __init__(self, recipe: Recipe, store: Store | None, hook: Hook = ignore) -> None:
        self.entries: list[tuple[str, Key]] = []
        self.bad_rows = 0
        self._recipe = recipe
        self._store = store
        self._hook = hook
        self._options = read_options(recipe)
        self._files: list[KnownFile] | None = None

    def identity(self) -> list[JSON]:
        """See `Origin`: digests of all files in order, formats, reading options.

        Raises:
            NotFoundError: nothing is there.
            SourceError: a format is unknown.
        """
        files: list[JSON] = [
            [it.digest, it.file.format, it.file.compression, len(it.file.documents)] for it in self._found()
        ]
        return [files, self._options.cut_key(), self._options.row_key()]

    def shards(self, flow: Flow) -> tuple[list[Moving], Schema]:
        """See `Origin`.

        Raises:
            SourceError: a malformed row, or types that do not fit together, unless they are to be skipped.
        """
        from forebay.pipeline.runs.intake import Intake

        intake = Intake(flow, self._found(), self._options, self._recipe.base)
        shards, schema = intake.shards()
        self.entries, self.bad_rows = intake.entries, intake.bad_rows
        return shards, schema

    def _found(self) -> list[KnownFile]:
        if self._files is None:
            wanted = self._recipe.suffixes
            left_out: list[str] = []
            found = resolve(
                list(self._recipe.dataset), self._recipe.base, self._options, suffixes=wanted, left_out=left_out
            )
            _spare_sources(self._recipe, [path for file in found for path in file.paths])
            if left_out:
                self._hook(Event(What.WARNING, _left_out(left_out, self._recipe.base)))
            if wanted:
                kept = [file for file in found if any(path.endswith(wanted) for path in file.paths)]
                found = kept or found
            memo = self._store.file_memo if self._store is not None else None  # None: nothing will be looked up
            self._files = [KnownFile(file, None if memo is None else content_of(file, memo)) for file in found]
        return self._files


def _spare_sources(recipe: Recipe, sources: list[str]) -> None:
    """Refuse an export that would replace a file of the dataset, or be read as one by the next run.

    Raises:
        RecipeError: it would.
    """
    if recipe.export is None:
        return
    export = str(recipe.export.path)
    hint = "name another export_path"
    try:
        export = os.path.realpath(recipe.export.path)
        there = os.stat(export)
    except FileNotFoundError:
        there = None
    except (OSError, ValueError) as error:  # a link to itself, below a file, too long, with a zero byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(
            f"cannot write {recipe.export.path}: {reason}", subject=recipe.export.path, hint=hint
        ) from error
    with suppress(FileNotFoundError):
        if there is not None and any(os.path.samestat(there, os.stat(path)) for path in sources):
            raise RecipeError(f"export_path {recipe.export.path} is a file of the dataset", subject=export, hint=hint)
    if recipe.suffixes and not export.endswith(recipe.suffixes):
        return
    for item in recipe.dataset:
        if would_read(item, str(recipe.export.path)):
            where = "lies in the dataset's folder" if os.path.isdir(item) else f"matches the dataset's {item}"
            what = f"export_path {recipe.export.path} {where}, so the next run would read it"
            raise RecipeError(what, subject=export, hint=f"{hint}, or say which files dataset_path or suffixes mean")


def _left_out(paths: list[str], base: Path) -> str:
    shown = [os.path.relpath(path, base) if Path(path).is_relative_to(base) else path for path in paths[:_NAMED]]
    names = ", ".join(shown) + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")
    files = "1 file is" if len(paths) == 1 else f"{len(paths)} files are"
    return (
        f"{files} not read: {names}: text beside data, or no known suffix; name a text file in dataset_path to read it"
    )
