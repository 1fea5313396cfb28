"""`forebay du`: the space taken."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.columns import Column
from forebay.cli.session import Session, emit, say, show_table

if TYPE_CHECKING:
    from forebay.config import Settings
    from forebay.store import Share, Usage


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="All counts as JSON, in bytes.")
@click.pass_obj
def du(session: Session, as_json: bool) -> None:
    """Show the space taken, by kind and by dataset.

    Bytes are those on the disk. An object that two kinds or datasets share counts in both, and once in the total.
    """
    with session.present_store() as store:
        usage = store.usage() if store else None
    if as_json:
        emit((usage or _nothing(session.settings())).to_json())
    elif usage is None or not usage.bytes:
        session.say_nothing_yet()
    else:
        _show(session, usage)


def _nothing(settings: Settings) -> Usage:
    """Return what a store takes that is not there yet."""
    from forebay.store import Usage

    there = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    return Usage(max_bytes=settings.max_bytes, free_bytes=shutil.disk_usage(there).free)


def _show(session: Session, usage: Usage) -> None:
    for what, shares in (("kind", usage.kinds), ("dataset", usage.datasets)):
        columns = [
            Column(what, flexible=True),
            Column("entries", right=True),
            Column("objects", right=True),
            Column("size", right=True),
        ]
        show_table(columns, _rows(shares))
        say()
    if usage.damaged:
        say(f"in quarantine: {text.counted(usage.damaged, 'file')}, {text.size(usage.damaged_bytes)}")
    if usage.partials:
        say(f"downloaded in part: {text.counted(usage.partials, 'file')}, {text.size(usage.partial_bytes)}")
    held = f"{text.counted(usage.entries, 'entry')}, {text.counted(usage.objects, 'object')}, {text.size(usage.bytes)}"
    budget = f" of {text.size(usage.max_bytes)} allowed" if usage.max_bytes is not None else ""
    say(f"{held}{budget}; {text.size(usage.free_bytes)} free on the disk")
    say(str(session.settings().home))


def _rows(shares: Mapping[str, Share]) -> list[list[str]]:
    biggest_first = sorted(shares.items(), key=lambda item: (-item[1].bytes, item[0]))
    return [
        [name or "(none)", text.count(share.entries), text.count(share.objects), text.size(share.bytes)]
        for name, share in biggest_first
    ]
