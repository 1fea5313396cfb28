"""`forebay pin` and `forebay unpin`: keep entries for ever, or no longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.session import Session, emit, say
from forebay.types import Key

if TYPE_CHECKING:
    from forebay.store import Store


@click.command(cls=Command)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--note", default="", metavar="TEXT", help="Why, for those who wonder later.")
@click.option("--json", "as_json", is_flag=True, help="What was pinned, as JSON.")
@click.pass_obj
def pin(session: Session, keys: tuple[str, ...], note: str, as_json: bool) -> None:
    """Keep entries for ever: eviction spares them.

    KEY is a key, its first digits (6 or more), KIND:DIGITS, a name, or hf://datasets/NS/NAME.
    A run is pinned with the table that it gave.
    """
    with session.named(keys) as (store, named):
        found = _with_tables(store, named)
        for kind, key in found:
            store.pin(kind, key, note)
    if as_json:
        emit({"pinned": [{"kind": kind, "key": key} for kind, key in found]})
        return
    for kind, key in found:
        say(f"pinned {kind} {text.short(key)}")


@click.command(cls=Command)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--json", "as_json", is_flag=True, help="What was unpinned, as JSON.")
@click.pass_obj
def unpin(session: Session, keys: tuple[str, ...], as_json: bool) -> None:
    """Let eviction have pinned entries again.

    KEY is a key, its first digits (6 or more), KIND:DIGITS, a name, or hf://datasets/NS/NAME.
    A run is unpinned with the table that it gave.
    """
    with session.named(keys) as (store, named):
        found = _with_tables(store, named)
        freed = {(kind, key) for kind, key in found if store.unpin(kind, key)}
    if as_json:
        emit({"unpinned": [{"kind": kind, "key": key} for kind, key in found if (kind, key) in freed]})
        return
    for kind, key in found:
        say(f"{'unpinned' if (kind, key) in freed else 'was not pinned:'} {kind} {text.short(key)}")


def _with_tables(store: Store, named: Sequence[tuple[str, Key]]) -> list[tuple[str, Key]]:
    """Return the entries, each run followed by its table: who keeps a run wants its rows."""
    found: list[tuple[str, Key]] = []
    for kind, key in named:
        found.append((kind, key))
        entry = store.get(kind, key) if kind == "run" else None
        table = entry.meta.get("table") if entry else None
        if isinstance(table, str) and store.get("table", Key(table)) is not None:
            found.append(("table", Key(table)))
    return list(dict.fromkeys(found))
