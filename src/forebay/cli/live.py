"""The live picture of a run, with rich: one line per operator, redrawn in place.

No thread redraws it, for workers are forked from this process: it is drawn when something was told, at most ten times a
second.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from forebay import text
from forebay.cli import columns as tables
from forebay.cli import notices
from forebay.cli.columns import Column
from forebay.cli.progress import OperatorProgress, RunProgress
from forebay.events import Event, Hook, OncePerMessage

_BETWEEN_SECONDS = 0.1
_TITLES = ("shards", "reused", "rows in → out", "rows/s")


class LiveView:
    """Draws a run's progress."""

    def __init__(self, live: Live, title: str) -> None:
        self._live = live
        self._title = title
        self._drawn = float("-inf")

    def show(self, progress: RunProgress) -> None:
        """Draw it anew, unless that was done just now."""
        finished = progress.total > 0 and progress.done == progress.total
        if progress.elapsed - self._drawn < _BETWEEN_SECONDS and not finished:
            return
        self._drawn = progress.elapsed
        self._live.update(picture(progress, self._title, *self._live.console.size), refresh=True)


@contextmanager
def live_view(title: str, *, colour: bool) -> Generator[tuple[LiveView, Hook]]:
    """Give a view that is wiped off in the end, and a hook that writes above it what a user must know."""
    console = Console(stderr=True, no_color=not colour, highlight=False)

    def tell(event: Event) -> None:
        told = notices.line(event)
        if told:
            console.print(told, markup=False)

    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveView(live, title), OncePerMessage(tell)


def picture(progress: RunProgress, title: str, width: int, height: int) -> RenderableType:
    """Return what is drawn within `width` x `height` cells: a head line, the operators that fit, the bar."""
    if not progress.total:
        return Text(f"{title}  {progress.doing or 'reading'} …", style="dim")
    shown = _window(progress, max(1, height - 4))
    look = [Column(title, flexible=True), *(Column(name, right=True) for name in _TITLES)]
    lines = list(tables.lines(look, [_cells(operator, progress) for operator in shown], width))
    parts: list[RenderableType] = [Text(lines[0], style="dim")]
    parts += [Text(line, style=_style(operator, progress)) for operator, line in zip(shown, lines[1:], strict=True)]
    hidden = len(progress.operators) - len(shown)
    if hidden:
        parts.append(Text(f"… {hidden} more operators", style="dim"))
    return Group(*parts, _bar(progress))


def _window(progress: RunProgress, room: int) -> list[OperatorProgress]:
    """Return the operators to show: all, or those around the first that is not finished."""
    operators = progress.operators
    if len(operators) <= room:
        return operators
    first = next((n for n, one in enumerate(operators) if one.done < progress.shards), len(operators) - 1)
    begin = min(max(0, first - 1), len(operators) - room)
    return operators[begin : begin + room]


def _style(operator: OperatorProgress, progress: RunProgress) -> str:
    return "green" if operator.done >= progress.shards else "" if operator.done else "dim"


def _cells(operator: OperatorProgress, progress: RunProgress) -> list[str]:
    mark = "✓" if operator.done >= progress.shards else "▸" if operator.done else " "
    speed = operator.rows_in * operator.computed / operator.done / operator.seconds if operator.seconds else 0
    return [
        f"{mark} {operator.name}",
        f"{operator.done:,}/{progress.shards:,}",
        f"{operator.reused:,}" if operator.reused else "",
        f"{operator.rows_in:,} → {operator.rows_out:,}" if operator.done else "",
        f"{speed:,.0f}" if speed else "",
    ]


def _bar(progress: RunProgress) -> RenderableType:
    left = progress.seconds_left
    words = [f"{progress.done:,} of {progress.total:,} results"]
    if progress.rows_per_second:
        words.append(f"{progress.rows_per_second:,.0f} rows/s")
    if left is not None and progress.done < progress.total:
        words.append(f"{text.about(left)} left")
    if progress.doing or progress.done == progress.total:
        words.append(progress.doing or "finishing")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column()
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(ProgressBar(total=progress.total, completed=progress.done, width=24), Text("  ".join(words)))
    return grid
