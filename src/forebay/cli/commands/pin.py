"""`forebay pin` and `forebay unpin`: keep entries for ever, or no longer."""

from __future__ import annotations

import click

from forebay.cli import text
from forebay.cli.app import Command
from forebay.cli.session import Session, emit, say


@click.command(cls=Command)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--note", default="", metavar="TEXT", help="Why, for those who wonder later.")
@click.option("--json", "as_json", is_flag=True, help="What was pinned, as JSON.")
@click.pass_obj
def pin(session: Session, keys: tuple[str, ...], note: str, as_json: bool) -> None:
    """Keep entries for ever: eviction spares them.

    KEY is a key, its first digits (6 or more), KIND:DIGITS, or a name.
    """
    with session.named(keys) as (store, found):
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

    KEY is a key, its first digits (6 or more), KIND:DIGITS, or a name.
    """
    with session.named(keys) as (store, found):
        for kind, key in found:
            store.unpin(kind, key)
    if as_json:
        emit({"unpinned": [{"kind": kind, "key": key} for kind, key in found]})
        return
    for kind, key in found:
        say(f"unpinned {kind} {text.short(key)}")
