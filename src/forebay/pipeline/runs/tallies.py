"""Counts of a run, operator by operator, and the events that tell of them as they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from forebay.events import Event, Hook, What
from forebay.pipeline.recipes.chain import Link
from forebay.pipeline.runs.report import OperatorReport
from forebay.pipeline.workers.stage import Outcome
from forebay.types import JSON, Key


@dataclass(slots=True)
class Tally:
    """One operator (or reading) so far."""

    computed: int = 0
    reused: int = 0
    rows_in: int = 0
    rows_out: int = 0
    seconds: float = 0.0
    misses: list[tuple[int, Key]] = field(default_factory=list)
    """(shard, key) of what was computed."""

    def add(self, outcome: Outcome, shard: int, *, reused: bool) -> None:
        """Count one shard."""
        self.rows_in += outcome.rows_in
        self.rows_out += outcome.rows_out
        self.seconds += outcome.seconds
        if reused:
            self.reused += 1
        else:
            self.computed += 1
            self.misses.append((shard, outcome.key))


class Tallies:
    """What was reused and computed. A run that starts over to heal damage begins a new count with `begin`."""

    def __init__(self, links: Sequence[Link], hook: Hook) -> None:
        self._links = links
        self._hook = hook
        self._computed: set[tuple[int, Key]] = set()
        self.operators = [Tally() for _ in links]
        self.read = Tally()

    @property
    def done(self) -> int:
        """Operator x shard results that there are so far."""
        return sum(tally.computed + tally.reused for tally in self.operators)

    def begin(self, shards: int, rows: int) -> None:
        """Start counting: so many shards and source rows are known."""
        self.operators = [Tally() for _ in self._links]
        self._hook_plan(shards, rows)

    def _hook_plan(self, shards: int, rows: int) -> None:
        names: list[JSON] = [link.use.name for link in self._links]
        self._hook(Event(What.PROGRESS, facts={"phase": "plan", "operators": names, "shards": shards, "rows": rows}))

    def say(self, phase: str, message: str) -> None:
        """Tell what is being done now."""
        self._hook(Event(What.PROGRESS, message, facts={"phase": phase}))

    def count(self, outcome: Outcome, shard: int) -> None:
        """Count one operator over one shard, and tell of it.

        What this run has computed stays computed, though a second look finds it in the store.
        """
        link = self._links[outcome.index]
        if not outcome.reused:
            self._computed.add((shard, outcome.key))
        reused = (shard, outcome.key) not in self._computed
        self.operators[outcome.index].add(outcome, shard, reused=reused)
        kind = "summary" if link.use.kind.is_global else "delta"
        facts: dict[str, JSON] = {"operator": link.use.name, "index": outcome.index, "shard": shard}
        if reused:
            self._hook(Event(What.HIT, key=outcome.key, kind=kind, facts=facts))
        else:
            self._hook(Event(What.MISS, key=outcome.key, kind=kind, facts=facts))
            self._hook(Event(What.BUILD, key=outcome.key, kind=kind, seconds=outcome.seconds, facts=facts))
        progress: dict[str, JSON] = {
            **facts, "phase": "operator", "reused": reused, "rows_in": outcome.rows_in, "rows_out": outcome.rows_out,
        }  # fmt: skip
        self._hook(Event(What.PROGRESS, key=outcome.key, seconds=outcome.seconds, facts=progress))

    def reading(self, outcome: Outcome, shard: int) -> None:
        """Count the reading of one shard of the source."""
        if not outcome.reused:
            self._computed.add((shard, outcome.key))
        self.read.add(outcome, shard, reused=(shard, outcome.key) not in self._computed)

    def reports(self, reasons: Sequence[str]) -> tuple[OperatorReport, ...]:
        """Return the counts, with the reasons why shards were computed."""
        return tuple(
            _report(link.use.name, link.use.kind.value, tally, reason)
            for link, tally, reason in zip(self._links, self.operators, reasons, strict=True)
        )

    def read_report(self) -> OperatorReport:
        """Return the counts of reading the source."""
        return _report("read", "source", self.read, "")


def _report(name: str, kind: str, tally: Tally, reason: str) -> OperatorReport:
    return OperatorReport(
        name, kind, tally.computed, tally.reused, tally.rows_in, tally.rows_out, tally.seconds,
        reason if tally.computed else "",
    )  # fmt: skip
