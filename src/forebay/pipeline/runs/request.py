"""What was asked for: the recipe, bound, and where and how to do it. All parts of a run share it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forebay.errors import StoreError
from forebay.events import Hook
from forebay.pipeline.recipes.chain import Chain
from forebay.pipeline.recipes.options import RunOptions
from forebay.pipeline.recipes.recipe import Recipe
from forebay.pipeline.runs.origin import Origin
from forebay.types import Key

if TYPE_CHECKING:
    from forebay.pipeline.runs.workplace import Workplace
    from forebay.store import Store


@dataclass(slots=True)
class Request:
    """One run that was asked for; `given` are the rows to start from where they are not the recipe's files."""

    recipe: Recipe
    chain: Chain
    store: Store | None
    options: RunOptions
    hook: Hook
    given: Origin | None
    began: float = field(default_factory=time.perf_counter)
    place: Workplace | None = None
    """Where workers are starting already, until somebody works there."""

    def point_at(self, key: Key) -> None:
        """Let the project's name point at its last run."""
        from forebay.pipeline.runs import record

        assert self.store is not None
        name = record.name_of(self.recipe.project)
        try:
            if self.store.writable and self.store.names.get(name) != ("run", key):
                self.store.names.set(name, "run", key)
        except StoreError:
            pass  # a name is a comfort

    def store_bytes(self) -> int | None:
        """Bytes at rest in the store now; None without one."""
        try:
            return self.store.bytes_at_rest() if self.store is not None else None
        except StoreError:
            return None
