"""Running a recipe, from keys to export; design/0005-runs.md tells the whole.

`run` is the way in. A rerun with nothing to do ends after a few look-ups; else shards are found (`origins`), taken through
the stages (`flow`), put together as a table, exported (`exporting`) and remembered (`record`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from forebay.errors import BuildError, CacheRequiredError, NotFoundError, ObjectDamagedError, ObjectMissingError, StoreError
from forebay.events import Event, Hook, OncePerMessage, Tee, What, ignore
from forebay.pipeline import exporting, keys, record, retention
from forebay.pipeline.chain import Chain, bind
from forebay.pipeline.executor import Executor, Forked, InProcess
from forebay.pipeline.explaining import Explainer
from forebay.pipeline.flow import Flow, Moving
from forebay.pipeline.ledger import Ledger
from forebay.pipeline.options import RunOptions, processes, retained_operators
from forebay.pipeline.origins import FilesOrigin, Origin, read_options
from forebay.pipeline.recipe import Recipe
from forebay.pipeline.report import ExportReport, RunReport
from forebay.pipeline.result import Result
from forebay.pipeline.scheduler import Scheduler
from forebay.pipeline.space import Parcel, Scratch, Space
from forebay.pipeline.tasks import describe
from forebay.pipeline.worker import Job, Worker
from forebay.table.schema import Schema, union
from forebay.types import Entry, Key

if TYPE_CHECKING:
    from forebay.store import Store
    from forebay.table import Table

_ATTEMPTS = 5
"""How often a run starts over to heal objects that turn out damaged or evicted; each time it finds all it can."""


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
        RecipeError, SourceError, UnhashableError: what is wrong with the recipe or the data.
        BuildError: an operator raised.
        CacheRequiredError: something is not in the store and `require_cache` is set.
    """
    chosen = options or RunOptions()
    if not (recipe.use_cache if chosen.use_cache is None else chosen.use_cache):
        store = None
    if chosen.retain is not None:
        recipe = replace(recipe, retain=chosen.retain)
    warnings: list[str] = []
    told = OncePerMessage(Tee(hook, partial(_collect, warnings)))
    report = _Run(recipe, bind(recipe), store, chosen, told, origin).go()
    return replace(report, warnings=tuple(dict.fromkeys(warnings)))


def plan(recipe: Recipe, *, store: Store | None, options: RunOptions | None = None, hook: Hook = ignore) -> RunReport:
    """Tell what `run` would compute and reuse, and why, without doing it. From a shard's first miss on all counts as computed,
    though results that come out unchanged would save what follows them.

    Raises:
        ForebayError: as `run`.
    """
    return run(recipe, store=store, options=replace(options or RunOptions(), dry_run=True), hook=hook)


def _collect(into: list[str], event: Event) -> None:
    if event.what is What.WARNING:
        into.append(event.message)


@dataclass(slots=True)
class _Run:
    """One run; its parts share these."""

    recipe: Recipe
    chain: Chain
    store: Store | None
    options: RunOptions
    hook: Hook
    given: Origin | None
    began: float = field(default_factory=time.perf_counter)
    processes: int = 1

    def go(self) -> RunReport:
        retained_operators(self.recipe.retain, len(self.chain.links))  # a wrong one is told before the work
        self.processes = processes(self.options, self.recipe.processes)
        self._tell_notes()
        origin = self.given or FilesOrigin(self.recipe, self.store)
        run_key = self._run_key(origin)
        if run_key is not None and not self.options.refresh:
            known = self._known(run_key)
            if known is not None:
                return known
        if self.options.dry_run:
            return self._dry(origin)
        if self.options.require_cache:
            self._require(origin)
        return self._compute(origin, run_key)

    def _tell_notes(self) -> None:
        for note in self.recipe.notes:
            self.hook(Event(What.WARNING, note))
        for link in self.chain.links:
            if not link.use.user or (not link.use.cache and link.use.key.cacheable):
                continue  # of the catalogue, or never cached because the user says so
            from forebay.fingerprint import concerns

            for concern in concerns(link.use.key):
                self.hook(Event(What.WARNING, f"{link.label}: {concern.sentence}"))

    def _run_key(self, origin: Origin) -> Key | None:
        """The run's key; None where the run may not be remembered."""
        if self.store is None or self.chain.first_uncached < len(self.chain.links):
            return None
        export = self.recipe.export.spelling if self.recipe.export else ""
        return keys.run(origin.identity(), [link.key for link in self.chain.links], export)

    def _known(self, key: Key) -> RunReport | None:
        """The report of a rerun whose result is known; None where there is more to do than an export."""
        assert self.store is not None
        try:
            entry = self.store.get("run", key)
            if entry is None:
                return None
            export = None
            if self.recipe.export is not None:
                export = exporting.up_to_date(self.recipe.export, entry, self.store)
            if self.options.need_table or (export is None and not self.options.dry_run):
                return self._known_table(entry, export)
        except StoreError:
            return None
        if self.recipe.export is not None and export is None:
            export = ExportReport(str(self.recipe.export.path), written=True)  # a dry run: it would be
        return self._unchanged(entry, export, None)

    def _known_table(self, entry: Entry, export: ExportReport | None) -> RunReport | None:
        """The same, where the table is wanted too: by the caller, or to write an export that has gone."""
        assert self.store is not None
        result = Result.find(self.store, Key(str(entry.meta["table"])))
        if result is None:
            return None
        if self.recipe.export is not None and export is None:
            with self._working() as work:
                export = exporting.write(self.recipe.export, result, work.space, work.scheduler, self.store)
            if export is None:
                return None
        return self._unchanged(entry, export, result)

    def _unchanged(self, entry: Entry, export: ExportReport | None, result: Result | None) -> RunReport:
        assert self.store is not None
        if not self.options.dry_run:
            self._point_at(entry.key)
            retention.apply_to_known(self.store, entry, self.recipe)
        report = record.report_of(entry, self.recipe.project, time.perf_counter() - self.began, export)
        find = partial(_find_table, self.store, Key(str(entry.meta["table"]))) if result is None else result.open
        return replace(report, dry=self.options.dry_run, _open=find, store_bytes=self._store_bytes())

    def _require(self, origin: Origin) -> None:
        """Strict mode: an error where anything would have to be computed."""
        planned = self._dry(origin)
        missing = [f"{it.name} ({it.shards_computed})" for it in (planned.read, *planned.operators) if it.shards_computed]
        if missing:
            raise CacheRequiredError(
                f"not in the store, by operator and shards: {', '.join(missing)}", subject=self.recipe.project,
                hint="run it once without require_cache, or bring a bundle",
            )  # fmt: skip

    def _dry(self, origin: Origin) -> RunReport:
        """Look everything up; compute nothing."""
        with self._working() as work:
            work.flow.dry = True
            shards, _ = self._through(origin, work)
            reasons = self._reasons(work.ledger, shards)
            rows_out = sum(moving.shard.visible_rows for moving in shards)
            export = self.recipe.export and ExportReport(str(self.recipe.export.path), written=True)
            return self._report(work.ledger, reasons, shards, rows_out, export=export, dry=True, bad_rows=origin.bad_rows)

    def _compute(self, origin: Origin, run_key: Key | None) -> RunReport:
        done = 0
        try:
            with self._working() as work:
                try:
                    report = self._until_healed(origin, run_key, work)
                finally:
                    done = work.ledger.done
            if report is not None:
                return report
            text = "the store keeps losing what this run makes (is its budget too small?); going on without it"
            self.hook(Event(What.WARNING, text))
            self.store = None
            with self._working() as work:
                report = self._until_healed(origin, None, work)
        except KeyboardInterrupt:
            kept = f"{done} results done; what is done is kept: the same command goes on from there"
            # Its text is for whoever stops the program in the end, and would else say nothing.
            raise KeyboardInterrupt(f"stopped; {kept if self.store is not None else 'nothing is kept'}") from None
        if report is None:
            raise BuildError(f"the scratch folder of {self.recipe.project} loses files", hint="see TMPDIR")
        return report

    def _until_healed(self, origin: Origin, run_key: Key | None, work: _Work) -> RunReport | None:
        """Go through it; where objects turned out damaged or evicted on the way, look again and compute those.

        None where that does not end: the store loses objects as fast as they are made.
        """
        for _ in range(_ATTEMPTS):
            work.scheduler.damaged.clear()
            try:
                shards, schema = self._through(origin, work)
                if not work.scheduler.damaged:
                    report = self._finish(shards, schema, origin, run_key, work)
                    if report is not None:
                        return report
            except (ObjectMissingError, ObjectDamagedError) as error:
                work.scheduler.damaged.append(error.what)
            for text in dict.fromkeys(work.scheduler.damaged):
                self.hook(Event(What.WARNING, f"{text}: computed again"))
        return None

    def _through(self, origin: Origin, work: _Work) -> tuple[list[Moving], Schema]:
        """Take all shards through all stages; returns early where objects turned out damaged."""
        shards, schema = origin.shards(work.flow)
        if work.scheduler.damaged:
            return shards, schema
        work.ledger.begin(len(shards), sum(moving.shard.rows for moving in shards))
        for stage in self.chain.stages:
            work.flow.stage(stage, shards, schema.names)
            if work.scheduler.damaged:
                break
        return shards, schema

    def _finish(
        self, shards: list[Moving], schema: Schema, origin: Origin, run_key: Key | None, work: _Work
    ) -> RunReport | None:
        """Table, export, record, retention. None where damage was found."""
        flow = work.flow
        final = union([schema.only([]), *(moving.schema for moving in shards)]) if shards else schema
        result = Result([moving.shard for moving in shards], final, work.space, self.recipe.project)
        export = None
        if self.recipe.export is not None:
            work.ledger.say("export", f"exporting to {self.recipe.export.path.name}")
            export = exporting.write(self.recipe.export, result, work.space, work.scheduler, self.store)
            if export is None:
                return None
        remember = run_key is not None and flow.keep_until == len(self.chain.links)
        if flow.keep_until < self.chain.first_uncached:
            flow.forget_tainted()
        reasons = self._reasons(work.ledger, shards)
        report = self._report(
            work.ledger, reasons, shards, result.rows, export=export, bad_rows=origin.bad_rows,
            table_key=result.key if remember else None,
        )  # fmt: skip
        if remember and run_key is not None and self.store is not None:
            report = self._remember(report, run_key, result, shards, origin, work)
        return replace(report, _open=result.open)

    def _remember(
        self, report: RunReport, run_key: Key, result: Result, shards: list[Moving], origin: Origin, work: _Work
    ) -> RunReport:
        """Keep table and record; a store that fails costs a warning."""
        assert self.store is not None
        links = self.chain.links
        detail = record.Detail(
            record.operator_records(links), record.shard_records(shards, len(links)), tuple(work.flow.globals.items()),
            tuple(origin.entries), tuple(operator.reason for operator in report.operators),
        )  # fmt: skip
        parcel = Parcel()
        parcel.entries.append(result.entry(parcel))
        ref = parcel.put("detail", detail.to_bytes())
        entry = replace(record.entry_of(run_key, report), objects=(ref,))
        parcel.entries.append(entry)
        told = work.space.broken
        if not work.space.publish(parcel):
            if not told:
                self.hook(Event(What.WARNING, f"this run is not remembered: {work.space.broken}"))
            return replace(report, table_key=None)
        self._point_at(run_key)
        retention.apply(self.store, self.recipe, entry, detail)
        return replace(report, run_key=run_key, store_bytes=self._store_bytes())

    def _point_at(self, key: Key) -> None:
        """Let the project's name point at its last run."""
        assert self.store is not None
        name = record.name_of(self.recipe.project)
        try:
            if self.store.writable and self.store.names.get(name) != ("run", key):
                self.store.names.set(name, "run", key)
        except StoreError:
            pass  # a name is a comfort

    def _reasons(self, ledger: Ledger, shards: list[Moving]) -> list[str]:
        names = [link.use.name for link in self.chain.links]
        if not any(tally.computed for tally in ledger.operators) or self.store is None:
            return [""] * len(names)
        if self.options.refresh:
            return ["refresh"] * len(names)
        before = record.nearest_run(self.store, self.recipe.project, names)
        return Explainer(self.chain.links, before, self.recipe.project).reasons(ledger.operators, shards)

    def _report(
        self, ledger: Ledger, reasons: list[str], shards: list[Moving], rows_out: int, **more: Any
    ) -> RunReport:
        return RunReport(
            project=self.recipe.project, operators=ledger.reports(reasons), shards=len(shards),
            rows_in=sum(moving.shard.rows for moving in shards), rows_out=rows_out,
            seconds=time.perf_counter() - self.began, read=ledger.read_report(), store_bytes=self._store_bytes(), **more,
        )  # fmt: skip

    def _store_bytes(self) -> int | None:
        try:
            return self.store.usage().bytes if self.store is not None else None
        except StoreError:
            return None

    @contextmanager
    def _working(self) -> Iterator[_Work]:
        """What it takes to compute: scratch folder, scheduler (its workers start with the first task), ledger, flow."""
        scratch = Scratch()
        given = getattr(self.given, "objects", None)
        space = Space(self.store, scratch, refresh=self.options.refresh, given=given)
        if self.store is not None and space.broken:
            self.hook(Event(What.WARNING, f"{space.broken}: what must be computed is not kept"))
        job = Job(self.chain, space, self.recipe.project, self.processes, self.options.check, read_options(self.recipe))
        scheduler = Scheduler(partial(_executor, job, self.hook), self.hook)
        ledger = Ledger(self.chain.links, self.hook)
        try:
            yield _Work(space, scheduler, ledger, Flow(self.chain, space, scheduler, ledger, self.hook))
        finally:
            scheduler.close()  # the scratch folder goes with the last one who holds the space


@dataclass(frozen=True, slots=True)
class _Work:
    """What a run computes with."""

    space: Space
    scheduler: Scheduler
    ledger: Ledger
    flow: Flow


def _executor(job: Job, hook: Hook) -> Executor:
    worker = Worker(job)
    if job.processes == 1:
        return InProcess(worker)
    return Forked(worker, job.processes, hook, describe)


def _find_table(store: Store, key: Key) -> Table:
    result = Result.find(store, key)
    if result is None:
        raise NotFoundError("the table of this run is no longer in the store", subject=key, hint="run it again")
    return result.open()
