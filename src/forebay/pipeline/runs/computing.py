"""Computing what a run's look-up did not find: shards in, stages, table, export, record.

Apart from `runner` because a rerun with nothing to do needs none of it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from forebay.errors import BuildError, ObjectDamagedError, ObjectMissingError
from forebay.events import Event, What
from forebay.pipeline.runs import exporting, record, retention
from forebay.pipeline.runs.explaining import Explainer
from forebay.pipeline.runs.flow import Flow, Moving
from forebay.pipeline.runs.origin import Origin
from forebay.pipeline.runs.report import ExportReport, RunReport
from forebay.pipeline.runs.request import Request
from forebay.pipeline.runs.result import Result
from forebay.pipeline.runs.tallies import Tallies
from forebay.pipeline.runs.workplace import Workplace
from forebay.pipeline.workers.scheduler import Scheduler
from forebay.pipeline.workers.space import Parcel, Space
from forebay.table.schema import Schema, union
from forebay.types import Key

_ATTEMPTS = 5
"""How often a run starts over to heal objects that turn out damaged or evicted; each time it finds all it can."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run computes with."""

    space: Space
    scheduler: Scheduler
    tallies: Tallies
    flow: Flow


class Computation:
    """The part of a run that computes."""

    def __init__(self, run: Request) -> None:
        self._run = run

    def dry(self, origin: Origin) -> RunReport:
        """Look everything up; compute nothing."""
        with self._working() as work:
            work.flow.dry = True
            shards, _ = self._through(origin, work)
            reasons = self._reasons(work.tallies, shards)
            rows_out = sum(moving.shard.visible_rows for moving in shards)
            export = self._run.recipe.export and ExportReport(str(self._run.recipe.export.path), written=True)
            return self._report(
                work.tallies, reasons, shards, rows_out, export=export, dry=True, bad_rows=origin.bad_rows
            )

    def compute(self, origin: Origin, run_key: Key | None) -> RunReport:
        """Compute what is not known, and remember it under `run_key`, if there is one.

        Raises:
            ForebayError: as `forebay.pipeline.run`.
        """
        done = 0
        try:
            with self._working() as work:
                work.scheduler.start()
                try:
                    report = self._until_healed(origin, run_key, work)
                finally:
                    done = work.tallies.done
            if report is not None:
                return report
            text = "the store keeps losing what this run makes (is its budget too small?); going on without it"
            self._run.hook(Event(What.WARNING, text))
            self._run.store = None
            with self._working() as work:
                report = self._until_healed(origin, None, work)
        except KeyboardInterrupt:
            kept = f"{done} results done; what is done is kept: the same command goes on from there"
            # Its text is for whoever stops the program in the end, and would else say nothing.
            raise KeyboardInterrupt(f"stopped; {kept if self._run.store is not None else 'nothing is kept'}") from None
        if report is None:
            raise BuildError(f"the scratch folder of {self._run.recipe.project} loses files", hint="see TMPDIR")
        return report

    def export(self, result: Result) -> ExportReport | None:
        """Write a result that is known to the export's path; None where a shard turned out damaged."""
        assert self._run.recipe.export is not None
        with self._working() as work:
            return exporting.write(self._run.recipe.export, result, work.space, work.scheduler, self._run.store)

    def _until_healed(self, origin: Origin, run_key: Key | None, work: Work) -> RunReport | None:
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
                self._run.hook(Event(What.WARNING, f"{text}: computed again"))
        return None

    def _through(self, origin: Origin, work: Work) -> tuple[list[Moving], Schema]:
        """Take all shards through all stages; returns early where objects turned out damaged."""
        shards, schema = origin.shards(work.flow)
        if work.scheduler.damaged:
            return shards, schema
        work.tallies.begin(len(shards), sum(moving.shard.rows for moving in shards))
        for stage in self._run.chain.stages:
            work.flow.stage(stage, shards, schema.names)
            if work.scheduler.damaged:
                break
        return shards, schema

    def _finish(
        self, shards: list[Moving], schema: Schema, origin: Origin, run_key: Key | None, work: Work
    ) -> RunReport | None:
        """Table, export, record, retention. None where damage was found."""
        flow = work.flow
        # A shard that no row is left of cannot say which columns operators would have given it.
        telling = [moving for moving in shards if moving.shard.visible_rows] or shards
        final = union([schema.only([]), *(moving.schema for moving in telling)]) if shards else schema
        result = Result([moving.shard for moving in shards], final, work.space, self._run.recipe.project)
        remember = run_key is not None and flow.keep_until == len(self._run.chain.links)
        known = False

        def keep_table() -> None:
            nonlocal known
            known = remember and self._keep_table(result, work)

        export = None
        if self._run.recipe.export is not None:
            work.tallies.say("export", f"exporting to {self._run.recipe.export.path.name}")
            export = exporting.write(
                self._run.recipe.export, result, work.space, work.scheduler, self._run.store, meanwhile=keep_table
            )
            if export is None:
                return None
        else:
            keep_table()
        if known or self._run.store is None:
            work.scheduler.retire()  # what they hold against eviction the table names, or nobody does
        reasons = self._reasons(work.tallies, shards)
        report = self._report(
            work.tallies, reasons, shards, result.rows, export=export, bad_rows=origin.bad_rows,
            table_key=result.key if known else None,
        )  # fmt: skip
        if known and run_key is not None:
            report = self._remember(report, run_key, shards, origin, work)
        return replace(report, _open=result.open)

    def _keep_table(self, result: Result, work: Work) -> bool:
        """Keep the table; tell whether the store took it.

        Raises:
            ObjectMissingError: an object that it takes to read it has gone.
        """
        if work.scheduler.broken:
            return False  # some of it is in the scratch folder only
        parcel = Parcel()
        parcel.entries.append(result.entry(parcel))
        return self._published(parcel, work)

    def _remember(self, report: RunReport, run_key: Key, shards: list[Moving], origin: Origin, work: Work) -> RunReport:
        """Keep the record."""
        assert self._run.store is not None
        links = self._run.chain.links
        detail = record.Detail(
            record.operator_records(links), record.shard_records(shards, len(links)), tuple(work.flow.globals.items()),
            tuple(origin.entries), tuple(operator.reason for operator in report.operators), self._run.recipe.retain,
        )  # fmt: skip
        parcel = Parcel()
        ref = parcel.put("detail", detail.to_bytes())
        entry = replace(record.entry_of(run_key, report), objects=(ref,))
        parcel.entries.append(entry)
        if not self._published(parcel, work):
            return report
        self._run.point_at(run_key)
        retention.apply(self._run.store, self._run.recipe, entry, detail)
        return replace(report, run_key=run_key, store_bytes=self._run.store_bytes())

    def _published(self, parcel: Parcel, work: Work) -> bool:
        """Publish a parcel of the run's own; a store that fails costs a warning."""
        told = work.space.broken
        if work.space.publish(parcel, heals=True):
            return True
        if not told:
            self._run.hook(Event(What.WARNING, f"this run is not remembered: {work.space.broken}"))
        return False

    def _reasons(self, tallies: Tallies, shards: list[Moving]) -> list[str]:
        names = [link.use.name for link in self._run.chain.links]
        if not any(tally.computed for tally in tallies.operators) or self._run.store is None:
            return [""] * len(names)
        if self._run.options.refresh:
            return ["refresh"] * len(names)
        before = record.nearest_run(self._run.store, self._run.recipe.project, names)
        return Explainer(self._run.chain.links, before, self._run.recipe.project).reasons(tallies.operators, shards)

    def _report(
        self, tallies: Tallies, reasons: list[str], shards: list[Moving], rows_out: int, **more: Any
    ) -> RunReport:
        return RunReport(
            project=self._run.recipe.project, operators=tallies.reports(reasons), shards=len(shards),
            rows_in=sum(moving.shard.rows for moving in shards), rows_out=rows_out,
            seconds=time.perf_counter() - self._run.began, read=tallies.read_report(),
            store_bytes=self._run.store_bytes(), **more,
        )  # fmt: skip

    @contextmanager
    def _working(self) -> Generator[Work]:
        """What it takes to compute: a workplace (that of the run, if it has one by now), tallies, flow."""
        place, self._run.place = self._run.place or Workplace.of(self._run), None
        tallies = Tallies(self._run.chain.links, self._run.hook)
        flow = Flow(self._run.chain, place.space, place.scheduler, tallies, self._run.hook)
        try:
            yield Work(place.space, place.scheduler, tallies, flow)
        finally:
            place.close()
            flow.forget_tainted()
