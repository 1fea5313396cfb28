"""Warnings, one line each, on standard error."""

from __future__ import annotations

import click

from forebay.events import Event, Hook, OncePerMessage, What

_TOLD = {What.WARNING: "warning", What.QUARANTINE: "damaged", What.TAKEOVER: "note"}


def warn() -> Hook:
    """Return a hook that tells each warning once, one line each, on standard error."""
    return OncePerMessage(_warn)


def _warn(event: Event) -> None:
    word = _TOLD.get(event.what)
    if word and event.message:
        click.echo(f"forebay: {word}: {event.message}", err=True)
