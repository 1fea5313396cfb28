"""`forebay reindex`: the index, anew from the files."""

from __future__ import annotations

import click

from forebay.cli.app import Command
from forebay.cli.session import Session


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="What was found, as JSON.")
@click.pass_obj
def reindex(session: Session, as_json: bool) -> None:
    """Build the index anew from the files, which are the truth.

    Needed only when something else than Forebay put files into the store or took them away.
    """
