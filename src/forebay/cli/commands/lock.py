"""`forebay lock`: what has moved since a lock file was written."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from forebay.cli.app import Command
from forebay.cli.locking import lines_of, lock_path, moved_since
from forebay.cli.notices import warn
from forebay.cli.paths import PathType
from forebay.cli.session import Session, emit, say
from forebay.errors import ForebayError
from forebay.types import JSON

_PLACE = PathType(dir_okay=False)


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
def lock() -> None:
    """Look into lock files, which say what references meant.

    \b
    forebay fetch --update hf://datasets/NS/NAME   writes forebay.lock
    forebay fetch --locked                         fetches exactly that
    forebay lock diff                              what has moved since
    """


@lock.command(cls=Command, short_help="Say what has moved since a lock file was written.")
@click.argument("before", type=_PLACE, required=False)
@click.argument("after", type=_PLACE, required=False)
@click.option("--offline", is_flag=True, help="Compare with what the store knows; ask no network.")
@click.option("--json", "as_json", is_flag=True, help="The changes as JSON.")
@click.pass_context
def diff(ctx: click.Context, before: Path | None, after: Path | None, offline: bool, as_json: bool) -> None:
    """Say what moved between two lock files, or from one to what its revisions mean now.

    BEFORE is a lock file (forebay.lock), AFTER another one. Exit code 1 if anything moved, or nobody can tell.
    """
    from forebay.hub import Hub
    from forebay.hub import lock as locks

    session = ctx.ensure_object(Session)
    old = locks.read(lock_path(before))
    unknown: dict[str, ForebayError] = {}
    if after is not None:
        changes = locks.diff(old, locks.read(after))
    else:
        with session.store() as store, Hub(store, hook=warn()) as hub:
            changes, unknown = moved_since(hub, old, offline=offline)
    if as_json:
        untold = [{"reference": name, "kind": "unknown", "why": error.what} for name, error in unknown.items()]
        emit(cast("JSON", [*(change.to_json() for change in changes), *untold]))
    else:
        for change in changes:
            for line in lines_of(change):
                say(line)
        for name, error in unknown.items():
            say(f"? {name}: {error}")
        if not changes and not unknown:
            say("nothing has moved")
    ctx.exit(1 if changes or unknown else 0)
