"""What a command is given: settings, the store, and where its words go.

Results go to standard output, everything said about them (warnings, progress, errors) to standard error.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay import config
from forebay.cli import columns as tables
from forebay.events import Event, Hook, OncePerMessage, What

if TYPE_CHECKING:
    from forebay.cli.columns import Column
    from forebay.store import Store
    from forebay.types import JSON

_TOLD = {What.WARNING: "warning", What.QUARANTINE: "damaged", What.TAKEOVER: "note"}


@dataclass(slots=True)
class Session:
    """One call of the command line."""

    home: Path | None = None
    """Root of the store as given by ``--home``; None: as the environment or configuration says."""
    verbose: bool = False

    def settings(self) -> config.Settings:
        """Return the settings of this call.

        Raises:
            ConfigError: one of them is wrong.
        """
        return config.resolve(home=self.home)

    @contextmanager
    def store(self) -> Generator[Store]:
        """Open the store, making it where there is none; it is closed in the end."""
        from forebay.store import Store

        with Store.open(self.settings(), hook=warn()) as store:
            yield store

    @contextmanager
    def present_store(self) -> Generator[Store | None]:
        """Open the store if there is one, or give None: looking must not leave a store behind."""
        if not self.settings().home.is_dir():
            yield None
            return
        with self.store() as store:
            yield store


def warn() -> Hook:
    """Return a hook that tells each warning once, one line each, on standard error."""
    return OncePerMessage(_warn)


def _warn(event: Event) -> None:
    word = _TOLD.get(event.what)
    if word and event.message:
        click.echo(f"forebay: {word}: {event.message}", err=True)


def say(text: str = "") -> None:
    """Write a line to standard output."""
    click.echo(text)


def emit(value: JSON) -> None:
    """Write a JSON document to standard output: indented for people, keys in a stable order."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def emit_rows(rows: Iterable[dict[str, JSON]]) -> None:
    """Write a JSON array to standard output, one row a line, so that long lists can be read as they come."""
    opened = False
    for row in rows:
        click.echo((",\n" if opened else "[\n") + json.dumps(row, ensure_ascii=False), nl=False)
        opened = True
    click.echo("\n]" if opened else "[]")


def terminal_width() -> int | None:
    """Return the cells of a line of standard output, or None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to standard output; its header dim on a terminal that has colours."""
    for number, line in enumerate(tables.lines(columns, rows, terminal_width())):
        say(click.style(line, dim=True) if number == 0 else line)
