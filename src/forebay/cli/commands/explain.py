"""`forebay explain`: why work is done again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from forebay.cli import reports, text
from forebay.cli.app import Command
from forebay.cli.notices import warn
from forebay.cli.session import Session, emit, say
from forebay.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from forebay.store import Store
    from forebay.types import Entry, Key

_RECIPES = (".yaml", ".yml", ".json")


@click.command(cls=Command)
@click.argument("what", nargs=-1, required=True, metavar="RECIPE | RUN | KEY KEY")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the recipe.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def explain(session: Session, what: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> None:
    """Say why work is done again: what differs in its key.

    \b
    RECIPE   what a run of it would compute now, and why
    RUN      what that run computed, and why (runs/PROJECT is the last one)
    KEY KEY  what differs between two entries' keys

    RUN and KEY are a key, its first digits (6 or more), KIND:DIGITS, or a name.
    """
    if len(what) > 2:
        raise InputError(f"{len(what)} arguments", subject=what, hint="give a recipe, a run, or two keys")
    if len(what) == 1 and (what[0].endswith(_RECIPES) or Path(what[0]).is_file()):
        _recipe(session, what[0], overrides, as_json)
        return
    if overrides:
        raise InputError("--set is for recipes", subject=overrides, hint="leave it out")
    with session.named(what) as (store, found):
        entries = [_entry(store, kind, key) for kind, key in found]
        if len(entries) == 1:
            _run(store, entries[0], as_json)
        else:
            _pair(store, entries[0], entries[1], as_json)


def _entry(store: Store, kind: str, key: Key) -> Entry:
    entry = store.get(kind, key)
    if entry is None:
        raise NotFoundError(f"{kind} {key} cannot be read", subject=key, hint="it is set aside; run again to heal")
    return entry


def _recipe(session: Session, path: str, overrides: tuple[str, ...], as_json: bool) -> None:
    from forebay.pipeline.recipe import Recipe
    from forebay.pipeline.runner import plan

    with session.store() as store:
        report = plan(Recipe.load(path, overrides), store=store, hook=warn())
    if as_json:
        emit(report.to_json())
        return
    for line in reports.reasons(report):
        say(line)
    for line in reports.closing(report, None):
        say(line)


def _run(store: Store, entry: Entry, as_json: bool) -> None:
    from forebay.pipeline.record import detail_of

    if entry.kind != "run":
        hint = f"`forebay show {entry.kind}:{text.short(entry.key)}` shows its key; give two keys to compare them"
        raise InputError(f"{text.short(entry.key)} is a {entry.kind}, not a run", subject=entry.key, hint=hint)
    detail = detail_of(store, entry)
    reasons = detail.reasons if detail else ()
    operators = [dict(one) for one in cast("list[Mapping[str, Any]]", entry.meta["operators"])]
    for operator, reason in zip(operators, reasons, strict=False):
        operator["reason"] = reason
    if as_json:
        emit({"kind": "run", "key": entry.key, "project": entry.meta["project"], "operators": operators})
        return
    say(f"{entry.meta['project']}, {text.moment(entry.created)}")
    for number, operator in enumerate(operators, start=1):
        computed, shards = operator["shards_computed"], operator["shards_computed"] + operator["shards_reused"]
        why = f": {operator['reason']}" if operator.get("reason") else ""
        say(f"operator {number} {operator['name']}: {computed} of {text.counted(shards, 'shard')} computed{why}")


def _pair(store: Store, old: Entry, new: Entry, as_json: bool) -> None:
    from forebay.cli.comparing import compare

    found = compare(store, old, new)
    if as_json:
        pair = [{"kind": entry.kind, "key": entry.key, "created": entry.created} for entry in (old, new)]
        emit({"before": pair[0], "after": pair[1], "differences": list(found)})
        return
    for line in found or ["nothing: it is the same entry"]:
        say(line)
