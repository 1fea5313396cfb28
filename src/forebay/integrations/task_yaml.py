"""Task files of lm-eval: YAML with includes, whose ``!function`` stays a name.

The rules are the harness's own (0.4.x): the keys of included files come first, later ones win, one's own win over all;
``task_list`` is not inherited; a file that is met twice on the way is a cycle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function or class that a task file names: ``utils.process_docs`` beside the file in `folder`."""

    name: str
    folder: Path

    @property
    def file(self) -> Path:
        """The file it should be in."""
        return self.folder / (self.name.rpartition(".")[0].replace(".", "/") + ".py")

    @property
    def attribute(self) -> str:
        """What it is called there."""
        return self.name.rpartition(".")[2]

    def __str__(self) -> str:
        return f"{self.folder.name}/{self.name}"


class _Loader(_Base):
    folder = Path()


def _function(loader: Any, node: yaml.Node) -> Function:
    return Function(str(loader.construct_scalar(node)), loader.folder)


_Loader.add_constructor("!function", _function)


def read(path: Path) -> dict[str, Any]:
    """Return what one file says by itself.

    Raises:
        ValueError: it is not a YAML mapping.
        OSError: it cannot be read.
    """
    loader = _Loader(path.read_bytes())
    loader.folder = path.parent
    try:
        told = loader.get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {str(error).splitlines()[0]}") from error
    finally:
        loader.dispose()
    if not isinstance(told, dict):
        raise ValueError("not a YAML mapping")
    return cast("dict[str, Any]", told)


def included(path: Path, includes: object) -> list[Path]:
    """Return the files that an ``include:`` of `path` names."""
    names = cast("list[object]", includes) if isinstance(includes, list) else [includes]
    return [path.parent / str(name) for name in names]


class TaskFiles:
    """Task files, each read and parsed once."""

    def __init__(self) -> None:
        self._read: dict[Path, dict[str, Any]] = {}
        self._places: dict[Path, Path] = {}

    @property
    def files(self) -> Iterable[Path]:
        """Every file that was looked at, with links resolved."""
        return self._places.values()

    def load(self, path: Path) -> dict[str, Any]:
        """Return a file with all that it includes; the caller may change the top level of what is returned.

        Raises:
            ValueError: a file is not a mapping, or includes lead in a circle.
            OSError: a file cannot be read.
        """
        return self._load(path, set())

    def _load(self, path: Path, seen: set[Path]) -> dict[str, Any]:
        if path not in self._places:
            self._places[path] = path.resolve()
        place = self._places[path]
        if place in seen:
            raise ValueError(f"include cycle at {place}")
        seen.add(place)
        if place not in self._read:
            self._read[place] = read(place)
        own: Mapping[str, Any] = self._read[place]
        if "include" not in own:
            return dict(own)
        merged: dict[str, Any] = {}
        for other in included(place, own["include"]):
            told = self._load(other, seen)
            told.pop("task_list", None)
            merged.update(told)
        merged.update((name, value) for name, value in own.items() if name != "include")
        return merged
