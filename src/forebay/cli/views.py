"""Three ways to watch a run: a live picture on a terminal, lines in a log, nothing.

All write to standard error; results alone go to standard output.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

import click

from forebay.cli import text
from forebay.cli.notices import warn
from forebay.cli.progress import RunProgress
from forebay.config import colour_wanted, redraw_wanted
from forebay.events import Event, Hook, ignore


class View(Protocol):
    """Shows progress; called from the thread that runs the recipe."""

    def show(self, progress: RunProgress) -> None:
        """Show what changed, if it is time to."""
        ...


def smart_terminal() -> bool:
    """Tell whether standard error is a terminal that can redraw lines."""
    return sys.stderr.isatty() and redraw_wanted()


@contextmanager
def watching(title: str, *, quiet: bool, plain: bool) -> Generator[Hook]:
    """Give the hook that shows a run as it goes.

    Args:
        title: what runs.
        quiet: show nothing at all.
        plain: lines, even on a terminal.
    """
    if quiet:
        yield ignore
    elif plain or not smart_terminal():
        yield _shown_by(LogView(), warn())
    else:
        from forebay.cli.live import live_view  # rich, where it is really shown

        with live_view(title, colour=colour_wanted()) as (view, told):
            yield _shown_by(view, told)


def _shown_by(view: View, told: Hook) -> Hook:
    progress = RunProgress()

    def hook(event: Event) -> None:
        told(event)
        if progress.note(event):
            view.show(progress)

    return hook


class LogView:
    """Lines at growing intervals: after 5 s, 10 s more, 20 s more … at most a minute apart; none for a short run."""

    first_seconds = 5.0
    longest_seconds = 60.0

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or _to_stderr
        self._interval = self.first_seconds
        self._next = self._interval

    def show(self, progress: RunProgress) -> None:
        """Write a line if the time has come."""
        elapsed = progress.elapsed
        if elapsed < self._next:
            return
        self._interval = min(self._interval * 2, self.longest_seconds)
        self._next = elapsed + self._interval
        self._write(f"forebay: {summary(progress)}")


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)


def summary(progress: RunProgress) -> str:
    """Return where a run stands, in one line."""
    if not progress.total:
        return f"{progress.doing or 'reading'}, {text.seconds(progress.elapsed)} so far"
    parts = [f"{progress.done:,} of {progress.total:,} results"]
    reused = progress.done - progress.computed
    if reused:
        parts.append(f"{reused:,} reused")
    if progress.computed:
        parts.append(f"{progress.rows_per_second:,.0f} rows/s")
    if progress.done < progress.total:
        at = next(operator.name for operator in progress.operators if operator.done < progress.shards)
        parts.append(f"at {at}")
        left = progress.seconds_left
        if left is not None:
            parts.append(f"about {text.about(left)} left")
    elif progress.doing:
        parts.append(progress.doing)
    return ", ".join(parts)
