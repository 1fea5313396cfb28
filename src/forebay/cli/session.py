"""What a command is given: settings, the store, and where its words go.

Results go to standard output, everything said about them (warnings, progress, errors) to standard error. Whatever
`forebay --help` can do without is imported where it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from forebay.cli import columns as tables
from forebay.errors import NotFoundError

if TYPE_CHECKING:
    from forebay.cli.columns import Column
    from forebay.config import Settings
    from forebay.events import Hook
    from forebay.store import Store
    from forebay.types import JSON, Key

Item = TypeVar("Item")


@dataclass(slots=True)
class Session:
    """One call of the command line."""

    home: str | None = None
    """Root of the store as given by ``--home``; None: as the environment or configuration says."""
    verbose: bool = False

    def settings(self) -> Settings:
        """Return the settings of this call.

        Raises:
            ConfigError: one of them is wrong.
        """
        from forebay import config

        return config.resolve(home=self.home)

    @contextmanager
    def store(self, hook: Hook | None = None) -> Generator[Store]:
        """Open the store, making it where there is none, and close it. Warnings are told; `hook` hears all."""
        from forebay.cli.notices import warn
        from forebay.events import Tee
        from forebay.store import Store

        with Store.open(self.settings(), hook=Tee(warn(), hook) if hook else warn()) as store:
            yield store

    @contextmanager
    def present_store(self, hook: Hook | None = None) -> Generator[Store | None]:
        """Open the store if there is one, or give None: looking must not leave a store behind."""
        if not is_there(self.settings().home):
            yield None
            return
        with self.store(hook) as store:
            yield store

    @contextmanager
    def named(self, texts: Sequence[str]) -> Generator[tuple[Store, list[tuple[str, Key]]]]:
        """Open the store and find the entries that a user named.

        Raises:
            NotFoundError: one of them is not there; then nothing is done with the others.
            InputError: a text that could mean several entries, or none ever.
        """
        from forebay.cli.naming import resolve

        with self.present_store() as store:
            if store is None:
                home = self.settings().home
                raise NotFoundError(f"no entry {texts[0]!r} in {home}", subject=texts[0], hint="there is no store yet")
            yield store, [resolve(store, text) for text in texts]

    def say_nothing_yet(self) -> None:
        """Tell that there is no store, or that it is empty."""
        say(f"nothing yet in {self.settings().home}")


def is_there(home: Path) -> bool:
    """Tell whether a folder has a store in it; a home that may not be looked into counts, for opening it says why."""
    from forebay.store.layout import Layout

    layout = Layout(home)
    try:
        return any(part.exists() for part in (layout.marker, layout.objects, layout.entries))
    except OSError:
        return True


def say(text: str = "") -> None:
    """Write a line to standard output."""
    click.echo(text)


def say_sentence(text: str) -> None:
    """Write a line that may be long: on a terminal it is broken between words, and goes on indented."""
    import textwrap

    width = terminal_width()
    broken = textwrap.wrap(text, width, subsequent_indent="    ", break_on_hyphens=False) if width else []
    say("\n".join(broken) or text)


def emit(value: object) -> None:
    """Write a JSON document to standard output: indented for people, keys in a stable order."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def emit_rows(rows: Iterable[dict[str, JSON]]) -> None:
    """Write a JSON array to standard output, one row a line, so that long lists can be read as they come."""
    import json

    before = "[\n"
    for some in _batches(rows):
        click.echo(before + ",\n".join(json.dumps(row, ensure_ascii=False) for row in some), nl=False)
        before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items, many at a time: one write per line would cost more than all else."""
    from itertools import islice

    left = iter(items)
    while some := list(islice(left, 1000)):
        yield some


def terminal_width() -> int | None:
    """Return the cells of a line of standard output, or None where it is no terminal."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to standard output; its header dim on a terminal that has colours."""
    head, *body = tables.lines(columns, rows, terminal_width())
    say(click.style(head, dim=True))
    for some in _batches(body):
        say("\n".join(some))
