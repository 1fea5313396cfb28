"""`forebay rm`: remove entries."""

from __future__ import annotations

import click

from forebay.cli import text
from forebay.cli.app import Command
from forebay.cli.naming import gone
from forebay.cli.session import Session, emit, say


@click.command(cls=Command)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--json", "as_json", is_flag=True, help="What was removed, as JSON.")
@click.pass_obj
def rm(session: Session, keys: tuple[str, ...], as_json: bool) -> None:
    """Remove entries, and the objects that no other entry names.

    KEY is a key, its first digits (6 or more), KIND:DIGITS, or a name. Nothing is asked: each entry must be named.
    Whatever is removed can be made again, by the same run; only slower.
    """
    with session.named(keys) as (store, found):
        removed = [(kind, key) for kind, key in found if store.remove(kind, key)]
        if not removed:
            raise gone(store, *found[0])
    if as_json:
        emit({"removed": [{"kind": kind, "key": key} for kind, key in removed]})
        return
    for kind, key in removed:
        say(f"removed {kind} {text.short(key)}")
