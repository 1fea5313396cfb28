"""What a user must know while a command works, one line each, on standard error."""

from __future__ import annotations

import click

from forebay.events import Event, Hook, OncePerMessage, What

_TOLD = {What.WARNING: "warning", What.QUARANTINE: "damaged", What.TAKEOVER: "note", What.WAIT: "note"}


def warn() -> Hook:
    """Return a hook that tells each warning and each wait for another once, one line each, on standard error."""
    return OncePerMessage(_warn)


def line(event: Event) -> str:
    """Return the line that tells of an event; "" where it is not for people to read."""
    word = _TOLD.get(event.what)
    return f"forebay: {word}: {event.message}" if word and event.message else ""


def _warn(event: Event) -> None:
    told = line(event)
    if told:
        click.echo(told, err=True)
