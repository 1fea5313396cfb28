"""`forebay env`: what programs must find in their environment to ask a mirror."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forebay.cli.app import Command
from forebay.cli.paths import PathType
from forebay.cli.session import Session, is_there, say

if TYPE_CHECKING:
    from forebay.store import Store


@click.command(cls=Command)
@click.option(
    "--mirror", default="http://127.0.0.1:8970", show_default=True, metavar="URL", help="Where the mirror answers."
)
@click.option("--token", default="", metavar="TEXT", help="The mirror's own token, where it asks for one.")
@click.option(
    "--shell",
    type=click.Choice(["sh", "fish", "powershell"]),
    default="sh",
    show_default=True,
    help="Whose language to write.",
)
@click.option(
    "--nltk-data",
    type=PathType(file_okay=False),
    metavar="FOLDER",
    help="Where to unpack the NLTK packages that the store holds.  [default: nltk-v1 in the store's folder]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object; null: to be removed.")
@click.pass_obj
def env(session: Session, mirror: str, token: str, shell: str, nltk_data: Path | None, as_json: bool) -> None:
    """Print what programs need to ask a mirror. NLTK packages of the store are unpacked where they will be found.

    \b
    eval "$(forebay env)"                  sh, bash, zsh
    forebay env --shell fish | source      fish
    forebay env --shell powershell | Out-String | Invoke-Expression
    """
    import re
    from typing import cast

    from forebay.config import environment
    from forebay.errors import InputError
    from forebay.mirror import environment as shells

    if not re.fullmatch(r"https?://[^/?#\s@]+/?", mirror):
        raise InputError(f"not a mirror's address: {mirror!r}", subject=mirror, hint="write http://HOST:PORT")
    wanted = shells.Wanted(mirror, token=token, nltk_data=_nltk_data(session, nltk_data))
    told = shells.variables(wanted, environment())
    say(shells.as_json(told) if as_json else shells.as_shell(told, cast("shells.Shell", shell)))


def _nltk_data(session: Session, folder: Path | None) -> Path | None:
    """Return a folder with the NLTK packages of the store, which stays; None: it has none."""
    from forebay.errors import InputError, StoreError
    from forebay.store import Store

    settings = session.settings()
    if not is_there(settings.home):
        return None
    place = (folder or settings.home / "nltk-v1").absolute()
    try:
        with Store.open(settings) as store:
            return _laid(store, place)
    except StoreError as error:
        _warn(f"NLTK_DATA is not set: {error.what}")
    except OSError as error:
        if folder is not None:
            what = f"cannot unpack NLTK packages to {folder}: {error.strerror}"
            raise InputError(what, subject=folder, hint="give --nltk-data a folder that can be written") from error
        _warn(f"NLTK_DATA is not set: {place} may not be written; give --nltk-data FOLDER")
    return None


def _laid(store: Store, place: Path) -> Path | None:
    if not store.names.list("hub/url/"):
        return None
    from forebay.hub import Hub
    from forebay.integrations import nltk

    with Hub(store) as hub:
        return nltk.lay_held(hub, lambda: place, _warn)


def _warn(line: str) -> None:
    click.echo(f"forebay: {line}", err=True)
