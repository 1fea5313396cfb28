"""The index of lm-eval's tasks, groups and tags: some 14,000 files, of which only a few lines are looked at.

The harness parses every file to know its names, which takes seconds. Names stand at the beginning of a line, so they
are read as text, and a file is parsed only where its text leaves a doubt. A name in a file that is no YAML is thus in
this index, and not in the harness's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forebay.integrations import task_yaml
from forebay.integrations.trees import IGNORED, identity
from forebay.types import JSON

Kind = Literal["task", "class", "group", "tag"]

_KEY = re.compile(rb"^(task|group|tag|include|class)[ \t]*:(?:[ \t]+(.*?))?[ \t]*\r?$", re.MULTILINE)
_ODD = re.compile(rb"""^["'{\[?<&*!%]|^---[^\n]*\n(?s:.*)^---""", re.MULTILINE)
_PLAIN = re.compile(r"([A-Za-z_][\w./+-]*)(?:\s+#.*)?")
_QUOTED = re.compile(r"""(?:"([^"\\]*)"|'([^']*)')(?:\s+#.*)?""")
_WORDS_WITH_MEANING = {"yes", "no", "true", "false", "null", "on", "off", "y", "n"}


@dataclass(slots=True)
class Named:
    """What a name stands for.

    Attributes:
        kind: a task, a task that is a Python class, a group, or a tag.
        file: where it is defined; None for a tag.
        members: of a tag.
    """

    kind: Kind
    file: Path | None
    members: set[str] = field(default_factory=set[str])


def build(roots: Sequence[Path], files: set[Path] | None = None) -> dict[str, Named]:
    """Return every name below the folders; in one folder the first file wins, between folders the last.

    Args:
        roots: the folders.
        files: gets every file that was looked at.
    """
    index: dict[str, Named] = {}
    heads = _Heads()
    for root in roots:
        found: dict[str, Named] = {}
        for path in _task_files(root):
            try:
                _note(heads.merged(path), path, found)
            except (OSError, ValueError, TypeError):
                continue  # the harness leaves out files that it cannot read, too
        index.update(found)
    if files is not None:
        files |= heads.files
    return index


def to_json(index: Mapping[str, Named], roots: Sequence[Path]) -> JSON:
    """Return an index as JSON, its files relative to their root."""
    rows: list[JSON] = []
    for name, named in index.items():
        row: list[JSON] = [name, named.kind, [*sorted(named.members)] or None]
        rows.append([*row, *_place(named.file, roots)] if named.file else row)
    return rows


def from_json(told: Any, roots: Sequence[Path]) -> dict[str, Named]:
    """Return the index that `to_json` wrote."""
    index: dict[str, Named] = {}
    for name, kind, members, *place in told:
        file = roots[place[0]] / place[1] if place else None
        index[name] = Named(kind, file, set(members or ()))
    return index


def _place(path: Path, roots: Sequence[Path]) -> tuple[int, str]:
    for number, root in enumerate(roots):
        if path.is_relative_to(root):
            return number, path.relative_to(root).as_posix()
    return 0, str(path)


def _task_files(root: Path) -> list[Path]:
    found: list[str] = []
    above: dict[str, frozenset[tuple[int, int]]] = {}  # folder -> those that it is in
    for folder, inside, files in os.walk(root, followlinks=True):
        here, outer = identity(folder), above.pop(folder, frozenset())
        inside[:] = [name for name in inside if name not in IGNORED and here not in outer]
        if here in outer:  # a link back
            continue
        above |= {os.path.join(folder, name): outer | {here} for name in inside}  # as os.walk calls them
        found += [f"{folder}/{name}" for name in files if name.endswith(".yaml")]
    return [Path(path) for path in sorted(found)]


def _note(told: Mapping[str, Any], path: Path, index: dict[str, Named]) -> None:
    if "class" not in told and "group" in told:
        index.setdefault(told["group"], Named("group", path))
        return
    if "class" not in told and "task" not in told:
        return
    name = told["task"]
    if not isinstance(name, str) or name in index:
        return
    tags = told.get("tag") or []
    index[name] = Named("class" if "class" in told else "task", path)
    for tag in tags if isinstance(tags, list) else [tags]:
        index.setdefault(tag, Named("tag", None)).members.add(name)


class _Heads:
    """The five keys that names depend on, of each file once."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, Any]] = {}
        self.files: set[Path] = set()

    def merged(self, path: Path, seen: set[Path] | None = None) -> dict[str, Any]:
        seen = set() if seen is None else seen
        place = path.resolve() if path.is_symlink() or ".." in path.parts else path
        if place in seen:
            raise ValueError(f"include cycle at {place}")
        seen.add(place)
        if place not in self._known:
            self.files.add(place)
            self._known[place] = _head(place)
        own = self._known[place]
        if "include" not in own:
            return own
        merged: dict[str, Any] = {}
        for other in task_yaml.included(place, own["include"]):
            merged.update(self.merged(other, seen))
        merged.update((name, value) for name, value in own.items() if name != "include")
        return merged


def _head(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    if not _ODD.search(data):
        found = {match[1].decode(): _plain(match[2]) for match in _KEY.finditer(data)}
        if found.get("group") is not None and "class" not in found:
            found["task"] = found.get("task") or "?"  # a group's name is all that matters, its members are read later
            found.pop("tag", None)
        if None not in found.values():
            return found
    return task_yaml.read(path)


def _plain(value: bytes | None) -> str | None:
    """Return the text of a simple value, or None where only a parser knows."""
    text = (value or b"").decode("utf-8", "replace")
    match = _PLAIN.fullmatch(text)
    if match is not None:
        return match[1] if match[1].lower() not in _WORDS_WITH_MEANING else None
    match = _QUOTED.fullmatch(text)
    if match is not None:
        return match[1] if match[1] is not None else match[2]
    return "!function" if text.startswith("!function ") else None
