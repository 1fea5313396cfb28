"""`forebay env`: what programs must find in their environment to ask a mirror."""

from __future__ import annotations

import click

from forebay.cli.app import Command
from forebay.cli.session import say


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
@click.option("--json", "as_json", is_flag=True, help="One JSON object; null: to be removed.")
def env(mirror: str, token: str, shell: str, as_json: bool) -> None:
    """Print what programs need to ask a mirror.

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
    told = shells.variables(shells.Wanted(mirror, token=token), environment())
    say(shells.as_json(told) if as_json else shells.as_shell(told, cast("shells.Shell", shell)))
