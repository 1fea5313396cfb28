"""Programs of others and the environments that they are in: how they are called, with and without Forebay."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench import REPOSITORY, Skipped
from benchmarks.measure import Command, Cost, run

LATENCY_SECONDS = 0.05
_DROPPED = ("PYTHON", "FOREBAY_", "HF_", "MODELSCOPE_", "TRANSFORMERS_", "NLTK_")
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


def environment(name: str) -> Path | None:
    """Return the environment of a client (`make test-clients` builds them), or None."""
    root = Path(os.environ.get("FOREBAY_CLIENT_ENVS") or REPOSITORY / ".venvs")
    return root / name if (root / name / "bin" / "python").exists() else None


def needed(name: str) -> Path:
    """Return the environment of a client.

    Raises:
        Skipped: there is none.
    """
    found = environment(name)
    if found is None:
        raise Skipped(f"no environment {name}: `make test-clients CLIENTS={name}` builds it, or FOREBAY_CLIENT_ENVS")
    return found


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a store and the caches of a client, beside the addresses of a hub.

    Attributes:
        folder: where all of it is.
        hubs: HF_ENDPOINT, MODELSCOPE_ENDPOINT.
        store: the name of the store in it.
        caches: the name of the client's caches in it.
    """

    folder: Path
    hubs: Mapping[str, str] = field(default_factory=dict)
    store: str = "store"
    caches: str = "caches"

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what a program finds in its environment, without Forebay."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
        caches = self.folder / self.caches
        own = {
            "HF_HOME": str(caches / "hf"), "MODELSCOPE_CACHE": str(caches / "ms"), "HOME": str(caches),
            "EVALSCOPE_CACHE": str(caches / "evalscope"), "XDG_CACHE_HOME": str(caches / "xdg"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "FOREBAY_HOME": str(self.folder / self.store), "FOREBAY_CONFIG": os.devnull, "NO_COLOR": "1",
        }  # fmt: skip
        return {**kept, **own, **self.hubs, **(more or {})}

    def command(self, argv: Sequence[str | Path], more: Mapping[str, str] | None = None) -> Command:
        """Return a program's call without Forebay."""
        caches = self.folder / self.caches
        caches.mkdir(parents=True, exist_ok=True)
        return Command([str(each) for each in argv], caches, self.environ(more), self.folder / "log.txt")

    def forebay(self, *arguments: str | Path) -> Command:
        """Return a call of `forebay`."""
        found = {"PYTHONPATH": str(REPOSITORY / "src")}  # harmless in a client: it has no package of that name
        return self.command([sys.executable, "-m", "forebay.cli", *arguments], found)

    def exec(self, argv: Sequence[str | Path], *options: str) -> Command:
        """Return a program's call through `forebay exec`."""
        return self.forebay("exec", *options, "--", *argv)

    def printed(self) -> str:
        """Return what the latest command printed."""
        return (self.folder / "log.txt").read_text(errors="replace")


@contextmanager
def hub_at(folder: Path, repositories: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, Place]]:
    """Start a hub, and give a place that knows its addresses."""
    from benchmarks.hub_process import hub

    with hub(repositories) as started:
        hubs = {"HF_ENDPOINT": started.hf_endpoint, "MODELSCOPE_ENDPOINT": started.ms_endpoint}
        yield started, Place(folder, hubs)


def told_seconds(place: Place, command: Command, word: str = "seconds") -> tuple[float, Cost]:
    """Run a command that prints ``WORD NUMBER`` on a line of its own; return that number and what the whole cost."""
    cost = run(command)
    lines = [line.split() for line in place.printed().splitlines()]
    return next(float(line[1]) for line in reversed(lines) if len(line) == 2 and line[0] == word), cost
