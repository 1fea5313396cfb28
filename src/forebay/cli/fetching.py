"""How far a fetch is, summed up from events, and three ways to watch it: a live picture, lines in a log, nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import click

from forebay import text
from forebay.cli import notices
from forebay.cli.columns import cut
from forebay.cli.views import Pace, smart_terminal
from forebay.config import colour_wanted
from forebay.events import Event, Hook, Tee, What
from forebay.types import JSON

if TYPE_CHECKING:
    from rich.console import RenderableType

_BETWEEN_SECONDS = 0.1
_MOST_LINES = 8
_BAR_CELLS = 16


@dataclass(slots=True)
class FileProgress:
    """One file: bytes of it that are there, of how many (0: unknown); ``present`` and ``fetched`` are done."""

    path: str
    state: str
    done: int
    total: int

    @property
    def finished(self) -> bool:
        """Whether all of it is in the store."""
        return self.state in ("present", "fetched")


@dataclass(slots=True)
class FetchProgress:
    """A fetch of several repositories. Events may come from any thread.

    Attributes:
        files, bytes: of all that was asked for and is known so far.
        network_bytes: per host, as they came, wrong and repeated ones too.
    """

    began: float = field(default_factory=time.monotonic)
    datasets: list[str] = field(default_factory=list[str])
    files: int = 0
    bytes: int = 0
    network_bytes: dict[str, int] = field(default_factory=dict[str, int])
    _known: dict[tuple[str, str], FileProgress] = field(default_factory=dict[tuple[str, str], FileProgress])
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def note(self, event: Event) -> bool:
        """Take an event in; tell whether it changes what is to be shown."""
        with self._guard:
            if event.what is What.FETCH:
                host = str(event.facts.get("host", ""))
                self.network_bytes[host] = self.network_bytes.get(host, 0) + event.bytes
            elif event.what is What.PROGRESS and event.facts.get("phase") == "snapshot":
                self.datasets.append(str(event.facts["dataset"]))
                self.files += cast("int", event.facts["files"])
                self.bytes += cast("int", event.facts["bytes"])
            elif event.what is What.PROGRESS and event.facts.get("phase") == "file":
                facts = event.facts
                place = (str(facts["dataset"]), str(facts["path"]))
                done, total, state = cast("int", facts["done"] or 0), cast("int", facts["total"] or 0), facts["state"]
                before = self._known.get(place)
                if state != "present" or before is None or before.state != "fetched":  # a README is looked at twice
                    self._known[place] = FileProgress(place[1], str(state), done, total)
            else:
                return False
            return True

    def seen(self) -> list[FileProgress]:
        """Return all files that something was told of."""
        with self._guard:
            return list(self._known.values())

    def asked(self) -> tuple[int, int]:
        """Return how many files are wanted, and their bytes, as far as is known.

        What was looked into of repositories that come later (a README names the files of a configuration) counts.
        """
        with self._guard:
            early = [file for (dataset, _), file in self._known.items() if dataset not in self.datasets]
        return self.files + len(early), self.bytes + sum(max(file.done, file.total) for file in early)

    def there(self, dataset: str, paths: Iterable[str]) -> tuple[int, int]:
        """Return how many of a repository's files were asked for and are in the store now, and their bytes."""
        with self._guard:
            files = [self._known.get((dataset, path)) for path in paths]
        done = [file.done for file in files if file is not None and file.finished]
        return len(done), sum(done)

    def summary(self) -> dict[str, JSON]:
        """Return what came of it."""
        seen = self.seen()
        return {
            "files": sum(file.finished for file in seen),
            "fetched": sum(file.state == "fetched" for file in seen),
            "reused": sum(file.state == "present" for file in seen),
            "bytes": sum(file.done for file in seen if file.finished),
            "network_bytes": sum(self.network_bytes.values()),
            "hosts": dict(sorted(self.network_bytes.items())),
            "seconds": round(self.elapsed, 3),
        }


def line(progress: FetchProgress) -> str:
    """Return where a fetch stands, in one line."""
    seen = progress.seen()
    done, here = sum(file.finished for file in seen), sum(file.done for file in seen)
    network = sum(progress.network_bytes.values())
    files, size = progress.asked()
    parts = [text.counted(done, "file"), text.size(here)]
    if progress.files:  # else only what is looked into to know what to fetch
        parts = [f"{done:,} of {files:,} files", f"{text.size(here)} of {text.size(size)}"]
    running = here - sum(file.done for file in seen if file.state == "present")
    speed = max(network, running) / progress.elapsed if progress.elapsed > 0 else 0
    if speed:
        parts.append(f"{text.size(speed)}/s")
        if here < size:
            parts.append(f"about {text.about((size - here) / speed)} left")
    return ", ".join(parts)


def closing(progress: FetchProgress) -> list[str]:
    """Return what came of a fetch, in sentences."""
    told = progress.summary()
    hosts = cast("dict[str, int]", told["hosts"])
    counted = text.counted(cast("int", told["files"]), "file")
    fetched, reused = cast("int", told["fetched"]), cast("int", told["reused"])
    lines = [f"{counted}, {text.size(cast('int', told['bytes']))}: {fetched:,} fetched, {reused:,} reused"]
    if hosts:
        by_host = ", ".join(f"{text.size(count)} from {host}" for host, count in hosts.items())
        lines.append(f"{by_host} in {text.seconds(progress.elapsed)}")
    else:
        lines.append("nothing came over the network")
    return lines


@contextmanager
def watching(progress: FetchProgress, *, quiet: bool, plain: bool) -> Generator[Hook]:
    """Give the hook that shows a fetch as it goes: quiet, in lines (plain, or no terminal), or live."""
    if quiet:
        yield _noting(progress)
    elif plain or not smart_terminal():
        yield Tee(_first_wait(notices.warn()), _log(progress))
    else:
        with _live(progress) as hook:
            yield hook


def _noting(progress: FetchProgress) -> Hook:
    def hook(event: Event) -> None:
        progress.note(event)

    return hook


def _first_wait(hook: Hook) -> Hook:
    """Leave out all but the first file that another process fetches: there may be thousands."""
    waited = False

    def tell(event: Event) -> None:
        nonlocal waited
        if event.what is What.WAIT:
            if waited:
                return
            waited = True
        hook(event)

    return tell


def _log(progress: FetchProgress) -> Hook:
    pace = Pace()

    def hook(event: Event) -> None:
        if progress.note(event) and pace.due(progress.elapsed):
            click.echo(f"forebay: {line(progress)}", err=True)

    return hook


@contextmanager
def _live(progress: FetchProgress) -> Generator[Hook]:
    from rich.console import Console  # where it is really shown
    from rich.live import Live

    from forebay.events import OncePerMessage

    console = Console(stderr=True, no_color=not colour_wanted(), highlight=False)
    drawing = threading.Lock()
    drawn = float("-inf")

    def tell(event: Event) -> None:
        told = notices.line(event)
        if told and event.what is not What.WAIT:  # the file's row says so
            console.print(told, markup=False)

    with Live(console=console, auto_refresh=False, transient=True) as live:

        def draw(event: Event) -> None:
            nonlocal drawn
            if not progress.note(event):
                return
            with drawing:
                if progress.elapsed - drawn < _BETWEEN_SECONDS:
                    return
                drawn = progress.elapsed
                live.update(picture(progress, console.size.width), refresh=True)

        yield Tee(OncePerMessage(tell), draw)


def picture(progress: FetchProgress, width: int) -> RenderableType:
    """Return what is drawn within `width` cells: files on their way, and all together."""
    from rich.text import Text

    active = [file for file in progress.seen() if not file.finished]
    rows = [_row(file, width) for file in active[:_MOST_LINES]]
    if len(active) > _MOST_LINES:
        rows.append(f"… {len(active) - _MOST_LINES} more")
    rows.append(cut(line(progress), width))
    return Text("\n".join(rows))


def _row(file: FileProgress, width: int) -> str:
    """Return ``data/train.parquet   [####      ]  12.3 MB of 24.4 MB``."""
    amount = f"{text.size(file.done)} of {text.size(file.total)}" if file.total else text.size(file.done)
    full = round(_BAR_CELLS * min(file.done / file.total, 1)) if file.total else 0
    bar = f"{'█' * full}{'░' * (_BAR_CELLS - full)}"
    other = " (another process)" if file.state == "waiting" else ""
    room = max(width - _BAR_CELLS - 24 - 4 - len(other), 8)
    return f"{cut(file.path, room):<{room}}  {bar}  {amount:>22}{other}"
