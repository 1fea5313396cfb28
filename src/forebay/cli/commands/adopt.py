"""`forebay adopt`: take over what other programs have downloaded."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.paths import PathType
from forebay.cli.session import Session, emit, say, say_sentence
from forebay.cli.views import Ticker

if TYPE_CHECKING:
    from forebay.hub.adopt import Adopted

_SHOWN = 10


@click.command(cls=Command)
@click.argument("folders", nargs=-1, required=True, type=PathType(), metavar="FOLDER...")
@click.option("--json", "as_json", is_flag=True, help="What was taken over, as JSON.")
@click.pass_context
def adopt(ctx: click.Context, folders: tuple[Path, ...], as_json: bool) -> None:
    """Take over what huggingface_hub and ModelScope have downloaded, without copying and without network.

    FOLDER is a cache: ~/.cache/huggingface, ~/.cache/modelscope. Its files get a second name in the store and become
    read-only; each is checked against what its name says. Exit code 1 if one is damaged.
    """
    from forebay.hub.adopt import adopt as take_over

    ticker = Ticker()
    with ctx.ensure_object(Session).store() as store, closing(ticker):
        told = take_over(store, folders, on_snapshot=lambda name: ticker.tell(f"taking over {name}"))
    if as_json:
        emit(told.to_json())
    else:
        _tell(told)
    ctx.exit(1 if told.damaged else 0)


def _tell(told: Adopted) -> None:
    say(f"{text.counted(told.snapshots, 'snapshot')}: {text.counted(told.files, 'file')}, {text.size(told.bytes)}")
    if told.copied_bytes:
        say(f"{text.size(told.copied_bytes)} of it copied, where files could not be linked")
    if told.unnamed:
        say(f"{text.counted(len(told.unnamed), 'file')} taken as found: the name does not say what is in it")
    for what, names in (("damaged", told.damaged), ("left out", told.skipped)):
        for name in names[:_SHOWN]:
            say_sentence(f"{what}: {name}")
        if len(names) > _SHOWN:
            say(f"{what}: {len(names) - _SHOWN:,} more")
