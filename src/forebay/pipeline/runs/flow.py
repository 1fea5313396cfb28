"""The shards of a run on their way through its stages: what is known is looked up, the rest becomes tasks.

This is the parent's half of the work. It reads entries and hashes small JSON; rows are the workers' business.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from forebay.errors import BuildError, ForebayError
from forebay.events import Event, Hook, What
from forebay.pipeline.recipes import keys
from forebay.pipeline.recipes.chain import Chain, Link, Stage
from forebay.pipeline.runs.tallies import Tallies
from forebay.pipeline.workers.lineage import Place
from forebay.pipeline.workers.messages import Message
from forebay.pipeline.workers.scheduler import Scheduler, Task
from forebay.pipeline.workers.space import Space
from forebay.pipeline.workers.stage import Outcome, columns_after, found_outcome, layers_of
from forebay.table.schema import Column, Schema
from forebay.table.shard import Layer, Shard
from forebay.types import JSON, Digest, Key

_MADE = ("delta", "summary", "global")
"""Kinds of entries that operators' results are."""


@dataclass(slots=True)
class Moving:
    """One shard on its way."""

    index: int
    place: Place
    shard: Shard
    schema: Schema
    """Its own columns and types now."""
    gap: JSON = None
    """What brings it to the table's schema first; None: nothing."""
    summary: Digest | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    known: bool = True
    """False in a dry run from its first miss on: what it holds is not known any more."""

    def take(self, outcome: Outcome, layers: Iterable[Layer]) -> None:
        """Add an operator's result."""
        added = tuple(layers)
        self.shard = self.shard.with_layer(*added)
        self.note(outcome, added)

    def note(self, outcome: Outcome, added: Iterable[Layer]) -> None:
        """Remember an operator's outcome, and what it did to the schema."""
        self.outcomes[outcome.index] = outcome
        types = {str(name): kind for name, kind in cast("list[list[JSON]]", outcome.types or [])}
        before = {column.name: column.type for column in self.schema.columns}
        names = columns_after(self.schema.names, list(added))
        self.schema = Schema(tuple(Column(name, types.get(name, before.get(name, "null"))) for name in names))


class Flow:
    """Takes shards through the stages. `keep_until`: operators from this index on are not cached."""

    def __init__(self, chain: Chain, space: Space, scheduler: Scheduler, tallies: Tallies, hook: Hook) -> None:
        self.chain = chain
        self.space = space
        self.scheduler = scheduler
        self.tallies = tallies
        self.hook = hook
        self.dry = False
        self.began = time.time()
        self.keep_until = chain.first_uncached if space.store is not None else 0
        self.globals: dict[int, Key] = {}
        """Key of each global half."""
        self._pending: list[Message] = []
        self._summarised = 0
        """Shards of this stage that its global operator has summarised in this run."""

    def stage(self, stage: Stage, shards: list[Moving], order: tuple[str, ...]) -> None:
        """Take all shards through one stage, its global operator included.

        Raises:
            BuildError: an operator raised.
        """
        tasks: list[Task] = []
        for moving in shards:
            first = self._advance(moving, stage)
            if first is None:
                continue
            if self.dry:
                self._assume(moving, stage, first)
            else:
                message = self._message(moving, stage, first, order)
                tasks.append(Task(message, partial(self._staged, moving, stage)))
        self._pending = [task.message for task in tasks]
        self._summarised = 0
        self.scheduler.run(tasks)
        if stage.closing and not self.scheduler.damaged:
            self._choose(stage.closing, shards)

    def _advance(self, moving: Moving, stage: Stage) -> int | None:
        """Add what is known; return the index of the first operator that is not, or None."""
        if not moving.known or (moving.gap and not self._conformed(moving)):
            return stage.links[0].index if stage.links else (stage.closing.index if stage.closing else -1)
        for link in stage.links:
            if link.index >= self.keep_until:
                return link.index
            entry = self.space.get("delta", keys.delta(link.key, moving.shard.state(link.sees)))
            if entry is None:
                return link.index
            outcome = found_outcome(link, entry)
            moving.take(outcome, layers_of(entry))
            self.tallies.count(outcome, moving.index)
        return self._summary(moving, stage.closing) if stage.closing else None

    def _summary(self, moving: Moving, link: Link) -> int | None:
        if link.index >= self.keep_until:
            return link.index
        key = keys.summary(link.key, moving.shard.state(link.sees))
        entry = self.space.get("summary", key)
        if entry is None:
            return link.index
        moving.summary = entry.object("summary").digest
        rows = moving.shard.visible_rows
        moving.outcomes[link.index] = Outcome(link.index, key, True, rows, rows)
        return None

    def _conformed(self, moving: Moving) -> bool:
        entry = self.space.get("delta", keys.conform(moving.shard.state(), moving.gap)) if self.keep_until else None
        if entry is None:
            return False
        moving.shard = moving.shard.with_layer(*layers_of(entry))
        self._widen(moving)
        return True

    def _widen(self, moving: Moving) -> None:
        wider = Schema.from_json(moving.gap)
        types = {column.name: column for column in (*moving.schema.columns, *wider.columns)}
        moving.schema = Schema(tuple(types.values()))
        moving.gap = None

    def _message(self, moving: Moving, stage: Stage, first: int, order: tuple[str, ...]) -> Message:
        lease = keys.task(stage.operators, moving.shard.state()) if self.keep_until > first else None
        return {
            "do": "stage", "stage": stage.number, "shard": moving.shard.to_json(), "place": moving.place.to_json(),
            "first": first, "order": list(order), "gap": moving.gap, "keep": self.keep_until, "lease": lease,
        }  # fmt: skip

    def _staged(self, moving: Moving, stage: Stage, result: Message) -> None:
        """Take a task's answer in."""
        if moving.gap:
            self._widen(moving)
        before = len(moving.shard.layers)
        moving.shard = Shard.from_json(result["shard"])
        outcomes = [Outcome.from_json(data) for data in cast("list[Mapping[str, Any]]", result["outcomes"])]
        added = list(moving.shard.layers[before:])
        theirs = sum(outcome.layers for outcome in outcomes)
        del added[: len(added) - theirs]  # those that conformed it to the table's schema
        for outcome in outcomes:
            link = self.chain.links[outcome.index]
            if not outcome.reused and outcome.kept:
                kind = "summary" if link.use.kind.is_global else "delta"
                self.space.made(kind, outcome.key)
            if stage.closing and outcome.index == stage.closing.index:
                moving.outcomes[outcome.index] = outcome
                self._summarised += 1
                self.tallies.say("summary", f"{link.use.name}: {self._summarised} of {len(self._pending)} shards ready")
                continue
            moving.note(outcome, added[: outcome.layers])
            del added[: outcome.layers]
            self.tallies.count(outcome, moving.index)
        if result["summary"] is not None:
            moving.summary = Digest(str(cast("list[JSON]", result["summary"])[1]))
        self._tell(result)

    def _tell(self, result: Message) -> None:
        for text in cast("list[str]", result["told"]):
            self.hook(Event(What.WARNING, text))
        tainted = result["tainted"]
        if isinstance(tainted, int) and tainted < self.keep_until:
            self.keep_until = tainted
            for message in self._pending:  # those not handed out yet are sent with this
                message["keep"] = min(cast("int", message["keep"]), tainted)

    def forget_tainted(self) -> None:
        """Remove what workers cached of an operator, and after it, before one of them found it nondeterministic.

        After they have ended: by then all that they made is there, be it answered or not.
        """
        store, tainted = self.space.store, {link.key for link in self.chain.links[self.keep_until :]}
        if store is None or self.keep_until == self.chain.first_uncached:
            return
        found: list[tuple[str, Key]] = []
        try:
            for info in [info for kind in _MADE for info in store.entries(kind) if info.created >= self.began]:
                entry = store.get(info.kind, info.key)
                if entry is not None and entry.parts.get("operator") in tainted:
                    for ref in entry.objects:  # this run's table goes on to be read
                        self.space.scratch.write(ref.digest, store.read(ref.digest))
                    found.append((info.kind, info.key))
            store.remove_all(found)
        except ForebayError as error:
            name = self.chain.links[self.keep_until].use.name
            self.hook(Event(What.WARNING, f"results of {name} stay in the store, though it gives others: {error}"))

    def _choose(self, link: Link, shards: list[Moving]) -> None:
        """The global half: found, or computed by one worker."""
        if self.dry and not all(moving.known for moving in shards):
            for moving in shards:
                self._unknown(moving, link)
            return
        digests = [cast("Digest", moving.summary) for moving in shards]
        keep = link.index < self.keep_until
        key = keys.global_half(link.key, digests)
        if keep:
            self.globals[link.index] = key
        entry = self.space.get("global", key) if keep else None
        if entry is not None:
            data = json.loads(bytes(self.space.read(entry.object("layers").digest)))
            self._chosen(link, shards, {"layers": data})
            return
        if self.dry:
            for moving in shards:
                self._unknown(moving, link, counted=True)
            return
        self.tallies.say("choose", f"{link.use.name} over all shards")
        message: Message = {
            "do": "choose", "operator": link.index, "summaries": list(digests), "key": key if keep else None,
            "lease": keys.key_of("forebay.lease/1", key) if keep else None,
        }  # fmt: skip
        if keep:
            self.space.made("global", key)
        self.scheduler.run([Task(message, partial(self._chosen, link, shards))])

    def _chosen(self, link: Link, shards: list[Moving], result: Mapping[str, JSON]) -> None:
        layers = cast("list[JSON]", result["layers"])
        if len(layers) != len(shards):
            raise BuildError(f"{link.label} chose for {len(layers)} of {len(shards)} shards", subject=link.use.name)
        for moving, data in zip(shards, layers, strict=True):
            outcome = moving.outcomes[link.index]
            if data is not None:
                moving.shard = moving.shard.with_layer(Layer.from_json(data))
            moving.outcomes[link.index] = outcome = replace(outcome, rows_out=moving.shard.visible_rows)
            self.tallies.count(outcome, moving.index)

    def _assume(self, moving: Moving, stage: Stage, first: int) -> None:
        """In a dry run: from its first miss on, all of a shard would be computed."""
        sure = moving.known
        for link in stage.links:
            if link.index >= first:
                self._unknown(moving, link, sure=sure and link.index == first)
        moving.known = False

    def _unknown(self, moving: Moving, link: Link, *, counted: bool = False, sure: bool = False) -> None:
        """Count one operator over one shard as to be computed.

        Args:
            moving: the shard.
            link: the operator.
            counted: its summary is there, the choice is not.
            sure: what it would see is known, so it is a miss for certain; else it has no key yet.
        """
        moving.known = False
        rows = moving.shard.visible_rows
        key = keys.delta(link.key, moving.shard.state(link.sees)) if sure else Key("")
        self.tallies.count(Outcome(link.index, key, counted, rows, rows), moving.index)
