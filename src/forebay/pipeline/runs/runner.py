"""Running a recipe, from keys to export; design/0005-runs.md tells the whole.

`run` is the way in. A rerun with nothing to do ends in `forebay.pipeline.runs.known`; all else is
`forebay.pipeline.runs.computing`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from forebay.errors import CacheRequiredError
from forebay.events import Event, Hook, OncePerMessage, Tee, What, ignore
from forebay.pipeline.recipes import keys
from forebay.pipeline.recipes.chain import bind
from forebay.pipeline.recipes.functions import UserOperator
from forebay.pipeline.recipes.options import RunOptions, caching, processes, retained_operators
from forebay.pipeline.recipes.recipe import Recipe
from forebay.pipeline.runs.files import FilesOrigin
from forebay.pipeline.runs.origin import Origin
from forebay.pipeline.runs.request import Request
from forebay.types import Key

if TYPE_CHECKING:
    from forebay.pipeline.runs.computing import Computation
    from forebay.pipeline.runs.report import RunReport
    from forebay.store import Store


def run(
    recipe: Recipe,
    *,
    store: Store | None,
    options: RunOptions | None = None,
    hook: Hook = ignore,
    origin: Origin | None = None,
) -> RunReport:
    """Run a recipe.

    Args:
        recipe: what to do.
        store: where results are looked up and kept; None: nowhere.
        options: how to do it.
        hook: is told of progress, hits, misses and warnings.
        origin: the rows to start from, where they are not the recipe's files.

    Raises:
        ConfigError: options that are wrong or contradict each other.
        RecipeError, SourceError, UnhashableError: what is wrong with the recipe or the data.
        BuildError: an operator raised.
        CacheRequiredError: something is not in the store and `require_cache` is set, here or in the store's settings.
    """
    chosen = options or RunOptions()
    if store is not None and store.settings.require_cache:
        chosen = replace(chosen, require_cache=True)
    if not caching(chosen, recipe.use_cache):
        store = None
    if chosen.retain is not None:
        recipe = replace(recipe, retain=chosen.retain)
    warnings: list[str] = []
    told = OncePerMessage(Tee(hook, partial(_collect, warnings)))
    chain = bind(recipe, None if store is None else store.file_memo)
    report = _Run(recipe, chain, store, chosen, told, origin).go()
    return replace(report, warnings=tuple(dict.fromkeys(warnings)))


def plan(recipe: Recipe, *, store: Store | None, options: RunOptions | None = None, hook: Hook = ignore) -> RunReport:
    """Tell what `run` would compute and reuse, and why, without doing it.

    From a shard's first miss on all counts as computed, though results that come out unchanged would save what follows.

    Raises:
        ForebayError: as `run`.
    """
    return run(recipe, store=store, options=replace(options or RunOptions(), dry_run=True), hook=hook)


def _collect(into: list[str], event: Event) -> None:
    if event.what is What.WARNING:
        into.append(event.message)


@dataclass(slots=True)
class _Run(Request):
    """A request being answered."""

    def go(self) -> RunReport:
        """Do it; see `run`."""
        retained_operators(self.recipe.retain, len(self.chain.links))  # a wrong one is told before the work
        processes(self.options, self.recipe.processes)
        self._tell_notes()
        if self._must_work():
            from forebay.pipeline.runs.workplace import Workplace

            self.place = Workplace.of(self)
            self.place.scheduler.start()
        try:
            return self._answer()
        finally:
            if self.place is not None:
                self.place.close()

    def _must_work(self) -> bool:
        """Tell whether workers are needed whatever the store knows; False: that will be seen."""
        if self.options.dry_run or self.options.require_cache:
            return False
        export = self.recipe.export
        unknown = self.store is None or self.options.refresh or self.chain.first_uncached < len(self.chain.links)
        return unknown or (export is not None and not os.path.exists(export.path))

    def _answer(self) -> RunReport:
        origin = self.given or FilesOrigin(self.recipe, self.store, self.hook)
        run_key = self._run_key(origin)
        if run_key is not None and not self.options.refresh:
            from forebay.pipeline.runs import known  # while workers, if there are any, load what they need

            report = known.look_up(self, run_key, lambda result: self._computation().export(result))
            if report is not None:
                return report
        if self.options.dry_run:
            return self._computation().dry(origin)
        if self.options.require_cache:
            self._require(origin)
        return self._computation().compute(origin, run_key)

    def _tell_notes(self) -> None:
        for note in self.recipe.notes:
            self.hook(Event(What.WARNING, note))
        for link in self.chain.links:
            if not link.use.user or (not link.use.cache and link.use.key.cacheable):
                continue  # of the catalogue, or never cached because the user says so
            from forebay.fingerprint import concerns

            named = isinstance(link.use, UserOperator) and link.use.files
            for concern in concerns(link.use.key):
                if concern.kind == "file" and named:
                    continue
                more = ", or name it in the recipe: files: [PATH]" if concern.kind == "file" else ""
                self.hook(Event(What.WARNING, f"{link.label}: {concern.sentence}{more}"))

    def _run_key(self, origin: Origin) -> Key | None:
        """The run's key; None where the run may not be remembered."""
        if self.store is None or self.chain.first_uncached < len(self.chain.links):
            return None
        export = self.recipe.export.spelling if self.recipe.export else ""
        return keys.run(origin.identity(), [link.key for link in self.chain.links], export)

    def _require(self, origin: Origin) -> None:
        """Strict mode: an error where anything would have to be computed."""
        planned = self._computation().dry(origin)
        missing = [
            f"{it.name} ({it.shards_computed})" for it in (planned.read, *planned.operators) if it.shards_computed
        ]
        if missing:
            raise CacheRequiredError(
                f"not in the store, by operator and shards: {', '.join(missing)}", subject=self.recipe.project,
                hint="run it once without require_cache, or bring a bundle",
            )  # fmt: skip

    def _computation(self) -> Computation:
        from forebay.pipeline.runs.computing import Computation

        return Computation(self)
