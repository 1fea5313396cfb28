"""`forebay ls`: what the store holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.columns import Column
from forebay.cli.session import Session, emit_rows, say, show_table

if TYPE_CHECKING:
    from forebay.store import EntryInfo
    from forebay.types import JSON

_SHOWN = 50

_COLUMNS = [
    Column("kind"),
    Column("key"),
    Column("dataset", flexible=True),
    Column("size", right=True),
    Column("took", right=True),
    Column("age", right=True),
    Column("used", right=True),
    Column("pinned"),
]

_ORDER: dict[str, Callable[[EntryInfo], float | str]] = {
    "used": lambda row: -row.used,
    "created": lambda row: -row.created,
    "size": lambda row: -row.bytes,
    "cost": lambda row: -row.cost_seconds,
    "key": lambda row: row.key,
}


@click.command(cls=Command)
@click.option("--kind", metavar="KIND", help="Only this kind: run, table, delta, shard …")
@click.option("--dataset", metavar="NAME", help="Only what belongs to this dataset.")
@click.option("--sort", type=click.Choice(list(_ORDER)), default="used", show_default=True, help="What comes first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help=f"At most N rows; 0: all. [default: {_SHOWN}]")
@click.option("--long", is_flag=True, help="Whole keys.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array, one entry a line; no limit unless given.")
@click.pass_obj
def ls(
    session: Session, kind: str | None, dataset: str | None, sort: str, limit: int | None, long: bool, as_json: bool
) -> None:
    """List what the store holds, the last used first.

    "took" is what the entry cost to make, so what it saves each time it is found.
    """
    with session.present_store() as store:
        rows = list(store.entries(kind=kind, dataset=dataset)) if store else []
        # The key breaks ties, so that two calls list alike.
        rows.sort(key=lambda row: (row.key, row.kind))
        rows.sort(key=_ORDER[sort])
        if as_json:
            emit_rows(_json(row) for row in rows[: limit or None])
            return
        if not rows:
            if kind or dataset:
                say("nothing of that kind or dataset")
            else:
                session.say_nothing_yet()
            return
        shown = rows[: _SHOWN if limit is None else limit or None]
        now = time.time()
        show_table(_COLUMNS, [_cells(row, now, long) for row in shown])
        if len(shown) < len(rows):
            say(f"… and {text.count(len(rows) - len(shown))} more; --limit 0 lists all")


def _cells(row: EntryInfo, now: float, long: bool) -> list[str]:
    return [
        row.kind,
        row.key if long else text.short(row.key),
        row.dataset or "-",
        text.size(row.bytes),
        text.seconds(row.cost_seconds),
        text.age(row.created, now),
        text.age(row.used, now),
        "pinned" if row.pinned else "",
    ]


def _json(row: EntryInfo) -> dict[str, JSON]:
    return {
        "kind": row.kind,
        "key": row.key,
        "dataset": row.dataset,
        "bytes": row.bytes,
        "cost_seconds": row.cost_seconds,
        "created": row.created,
        "used": row.used,
        "pinned": row.pinned,
    }
