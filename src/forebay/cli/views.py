"""Three ways to watch a run: a live picture on a terminal, lines in a log, nothing.

All write to standard error; results alone go to standard output.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

import click

from forebay import text
from forebay.cli.columns import cut
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


class Ticker:
    """One line that says how far something is: rewritten in place on a terminal, at growing intervals in a log."""

    _between_seconds = 0.1

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._pace = Pace()
        self._drawn = 0.0
        self._in_place = smart_terminal()

    def tell(self, line: str) -> None:
        """Show the line, if it is time to."""
        elapsed = time.monotonic() - self._began
        if self._in_place and elapsed - self._drawn >= self._between_seconds:
            self._drawn = elapsed
            click.echo(f"\r\x1b[K{cut(line, shutil.get_terminal_size().columns - 1)}", err=True, nl=False)
        elif not self._in_place and self._pace.due(elapsed):
            _to_stderr(f"forebay: {line}")

    def close(self) -> None:
        """Wipe the line off the terminal."""
        if self._drawn:
            click.echo("\r\x1b[K", err=True, nl=False)


class Pace:
    """When a line in a log is due: after 5 s, 10 s more, 20 s more … at most a minute apart."""

    def __init__(self, first_seconds: float = 5.0, longest_seconds: float = 60.0) -> None:
        self._interval = first_seconds
        self._longest = longest_seconds
        self._next = first_seconds

    def due(self, elapsed: float) -> bool:
        """Tell whether a line is due `elapsed` seconds after the beginning; then the next is due later."""
        if elapsed < self._next:
            return False
        self._interval = min(self._interval * 2, self._longest)
        self._next = elapsed + self._interval
        return True


class LogView:
    """Lines at a `Pace`; none for a short run."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or _to_stderr
        self._pace = Pace()

    def show(self, progress: RunProgress) -> None:
        """Write a line if the time has come."""
        if self._pace.due(progress.elapsed):
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
    if progress.rows_per_second:
        parts.append(f"{progress.rows_per_second:,.0f} rows/s")
    left = progress.seconds_left
    if left is not None and progress.done < progress.total:
        parts.append(f"about {text.about(left)} left")
    if progress.doing:
        parts.append(progress.doing)
    elif progress.done < progress.total:
        at = next(operator.name for operator in progress.operators if operator.done < progress.shards)
        parts.append(f"at {at}")
    return ", ".join(parts)
