"""`forebay rm`: remove entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.naming import gone, referred
from forebay.cli.session import Session, emit, say
from forebay.errors import InputError

if TYPE_CHECKING:
    from forebay.store import Store
    from forebay.types import Key


@click.command(cls=Command)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--json", "as_json", is_flag=True, help="What was removed, as JSON.")
@click.pass_obj
def rm(session: Session, keys: tuple[str, ...], as_json: bool) -> None:
    """Remove entries, and the objects that no other entry names.

    KEY is a key, its first digits (6 or more), KIND:DIGITS, a name, or hf://datasets/NS/NAME, which goes with its files
    and what was prepared of them. Nothing is asked: each entry must be named. Whatever is removed can be made again, by
    the same run or fetch; only slower.
    """
    with session.named(keys) as (store, named):
        found = [_with_its_own(store, given, place) for given, place in zip(keys, named, strict=True)]
        places = dict.fromkeys(place for group in found for place in group)
        removed = set(store.remove_all(places))
        if not removed:
            raise gone(store, *named[0])
    if as_json:
        emit({"removed": [{"kind": kind, "key": key} for kind, key in places if (kind, key) in removed]})
        return
    for first, *others in found:
        if first in removed:
            count = len(removed.intersection(others))
            beside = f" and {text.counted(count, 'entry')} that only it needed" if count else ""
            say(f"removed {first[0]} {text.short(first[1])}{beside}")


def _with_its_own(store: Store, given: str, place: tuple[str, Key]) -> list[tuple[str, Key]]:
    """Return a place; that of a repository, which a user gave as such, with those of all that only it needs."""
    reference = referred(store, given)
    if reference is None:
        return [place]
    if reference.path or reference.config:
        what = f"{given} is a part of a repository, which goes as a whole"
        raise InputError(what, subject=given, hint=f"`forebay rm {reference.whole}` removes all of it")
    from forebay.hub.holdings import only_of

    return only_of(store, place[1])
