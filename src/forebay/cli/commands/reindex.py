"""`forebay reindex`: the index, anew from the files."""

from __future__ import annotations

import click

from forebay import text
from forebay.cli.app import Command
from forebay.cli.session import Session, emit, say


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="What was found, as JSON.")
@click.pass_obj
def reindex(session: Session, as_json: bool) -> None:
    """Build the index anew from the files, which are the truth.

    Needed only after something else than Forebay put files into the store or took some away.
    """
    with session.present_store() as store:
        if store is None:
            from forebay.store import ReindexReport

            emit(ReindexReport().to_json()) if as_json else session.say_nothing_yet()
            return
        report = store.reindex()
    if as_json:
        emit(report.to_json())
        return
    found = f"{text.counted(report.entries, 'entry')}, {text.counted(report.objects, 'object')}"
    say(f"indexed {found}, {text.size(report.bytes)}, in {text.seconds(report.seconds)}")
    if report.damaged:
        say(f"in quarantine: {text.counted(report.damaged, 'file')}")
