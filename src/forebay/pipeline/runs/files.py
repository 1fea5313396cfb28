"""What a run starts from, by content: the files of a recipe, known by digest.

Digests are remembered by (device, inode, size, times), so an unchanged file is not even opened. Looked at by every
rerun, so it is light; cutting and reading are `forebay.pipeline.runs.intake`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from forebay.pipeline.recipes.recipe import Recipe
from forebay.pipeline.runs.origin import KnownFile
from forebay.table.options import ReadOptions
from forebay.table.proving import content_of
from forebay.table.resolving import resolve
from forebay.types import JSON, Key

if TYPE_CHECKING:
    from forebay.pipeline.runs.flow import Flow, Moving
    from forebay.store import Store
    from forebay.table.schema import Schema


def read_options(recipe: Recipe) -> ReadOptions:
    """Return how a recipe wants its sources read."""
    options = ReadOptions(on_bad_rows=recipe.on_bad_rows)
    return options if recipe.shard_bytes is None else replace(options, shard_bytes=recipe.shard_bytes)


class FilesOrigin:
    """The files of a recipe."""

    def __init__(self, recipe: Recipe, store: Store | None) -> None:
        self.entries: list[tuple[str, Key]] = []
        self.bad_rows = 0
        self._recipe = recipe
        self._store = store
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
            found = resolve(list(self._recipe.dataset), self._recipe.base, self._options)
            wanted = self._recipe.suffixes
            if wanted:
                kept = [file for file in found if any(path.endswith(wanted) for path in file.paths)]
                found = kept or found
            memo = self._store.file_memo if self._store is not None else None  # None: nothing will be looked up
            self._files = [KnownFile(file, None if memo is None else content_of(file, memo)) for file in found]
        return self._files
