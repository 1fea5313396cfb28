"""The figures of each section in a file of its own: one that fails, or is not chosen, costs no other its figures."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


class Skipped(Exception):
    """A section has nothing to measure here; the message is the reason, in a line."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of all sections: ``NAME.json`` has the latest figures, ``NAME.not.json`` why there are none now."""

    folder: Path

    def add(self, name: str, figures: Figures, options: Figures, load: float) -> None:
        """Keep a section's figures; what went wrong with it earlier is forgotten."""
        told = {"taken": _now(), "load": load, "options": options, "figures": figures}
        self._write(f"{name}.json", told)
        (self.folder / f"{name}.not.json").unlink(missing_ok=True)

    def add_trouble(self, name: str, what: str, why: str) -> None:
        """Keep why a section has no new figures; `what` is "skipped" or "failed". Earlier figures stay."""
        self._write(f"{name}.not.json", {"taken": _now(), "what": what, "why": why})

    def taken(self) -> dict[str, Figures]:
        """Return what was kept of each section: taken, load, options, figures."""
        return {name: told for name, told in self._read() if not name.endswith(".not")}

    def troubles(self) -> dict[str, Figures]:
        """Return what went wrong with which section: taken, what, why."""
        return {name.removesuffix(".not"): told for name, told in self._read() if name.endswith(".not")}

    def _read(self) -> list[tuple[str, Figures]]:
        return [(path.stem, json.loads(path.read_text())) for path in sorted(self.folder.glob("*.json"))]

    def _write(self, name: str, told: Figures) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        new = path.with_suffix(".new")
        new.write_text(json.dumps(told, indent=1))
        os.replace(new, path)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
