"""`forebay explain`: why work is done again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from forebay import text
from forebay.cli import reports
from forebay.cli.app import Command
from forebay.cli.naming import gone
from forebay.cli.notices import warn
from forebay.cli.session import Session, emit, say, say_sentence
from forebay.errors import InputError

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
            _run(entries[0], as_json)
        else:
            _pair(store, entries[0], entries[1], as_json)


def _entry(store: Store, kind: str, key: Key) -> Entry:
    entry = store.get(kind, key)
    if entry is None:
        raise gone(store, kind, key)
    return entry


def _recipe(session: Session, path: str, overrides: tuple[str, ...], as_json: bool) -> None:
    from forebay.pipeline.recipes.recipe import Recipe
    from forebay.pipeline.runs.runner import plan

    with session.store() as store:
        report = plan(Recipe.load(path, overrides), store=store, hook=warn())
    if as_json:
        emit(report.to_json())
        return
    for line in reports.reasons_of(report):
        say_sentence(line)
    for line in reports.closing(report, None):
        say_sentence(line)


def _run(entry: Entry, as_json: bool) -> None:
    if entry.kind != "run":
        hint = f"`forebay show {entry.kind}:{text.short(entry.key)}` shows its key; give two keys to compare them"
        raise InputError(f"{text.short(entry.key)} is a {entry.kind}, not a run", subject=entry.key, hint=hint)
    operators = cast("list[Mapping[str, Any]]", entry.meta["operators"])
    if as_json:
        emit({"kind": "run", "key": entry.key, "project": entry.meta["project"], "operators": operators})
        return
    computed = sum(operator["shards_computed"] for operator in operators)
    reused = sum(operator["shards_reused"] for operator in operators)
    for line in reports.reasons([(operator["name"], operator["reason"]) for operator in operators]):
        say_sentence(line)
    say(f"{text.counted(computed, 'result')} computed, {reused:,} reused on {text.moment(entry.created)}")


def _pair(store: Store, old: Entry, new: Entry, as_json: bool) -> None:
    from forebay.cli.comparing import compare

    found = compare(store, old, new)
    if as_json:
        pair = [{"kind": entry.kind, "key": entry.key, "created": entry.created} for entry in (old, new)]
        emit({"before": pair[0], "after": pair[1], "differences": list(found)})
        return
    for line in found or ["nothing: it is the same entry"]:
        say_sentence(line)
