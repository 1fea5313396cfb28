"""Which files of a repository one configuration of a dataset needs, and whether it has that configuration at all.

A repository tells its configurations in the YAML head of its README, under ``configs``. Where it does not, `datasets`
finds files by their names: then all of them are taken, rather than guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath
from typing import Any, cast

import yaml

from forebay.hub.snapshot import Snapshot
from forebay.integrations.tasks import CARD_FILES, Gap, Load, file_texts

_HEAD = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Choice:
    """What one load needs of a snapshot.

    Attributes:
        files: their paths.
        gap: why it will not load, or None.
    """

    files: tuple[str, ...]
    gap: Gap | None = None


def configurations(readme: str) -> dict[str, Mapping[str, Any]]:
    """Return the configurations in a README's head: name -> what is said of it; empty where it tells none."""
    match = _HEAD.match(readme)
    try:
        told: Any = yaml.load(match[1], Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if match else {}
    except yaml.YAMLError:
        return {}
    listed = cast("dict[str, Any]", told).get("configs") if isinstance(told, dict) else None
    if not isinstance(listed, list):
        return {}
    rows = [cast("dict[str, Any]", row) for row in cast("list[object]", listed) if isinstance(row, dict)]
    return {str(row["config_name"]): row for row in rows if row.get("config_name") is not None}


def choose(snapshot: Snapshot, readme: str, load: Load) -> Choice:
    """Return the files of a snapshot that a load needs."""
    what = f"dataset {load}"
    given = file_texts(load.options.get("data_files"))
    if given:
        return _chosen(snapshot, what, given, str(load.options.get("data_dir") or ""))
    everything = tuple(file.path for file in snapshot.files)
    script = f"{snapshot.id.rpartition('/')[2]}.py"
    known = configurations(readme)
    if not known:
        if snapshot.get(script) is not None:
            return Choice(everything, Gap(what, f"{script} is a loading script, which datasets does not run since 4.0"))
        return Choice(everything)
    name = load.name or _default(known)
    if name is None:
        return Choice(everything, Gap(what, f"several configurations and no default: {_some(known)}"))
    if name not in known:
        if load.hub == "ms":  # there a subset may be no more than a column's value
            return Choice(everything)
        return Choice((), Gap(what, f"has no configuration {name!r}", f"it has {_some(known)}"))
    row = known[name]
    patterns, splits = _patterns(row.get("data_files"))
    folder = str(row.get("data_dir") or "")
    if not patterns:
        return Choice(everything) if not folder else _chosen(snapshot, what, ["**"], folder)
    lost = [split for split in load.splits if splits and split not in splits]
    found = _chosen(snapshot, what, patterns, folder)
    if lost and found.gap is None:
        return Choice(found.files, Gap(what, f"has no split {', '.join(lost)}", f"it has {', '.join(splits)}"))
    return found


def _default(known: Mapping[str, Mapping[str, Any]]) -> str | None:
    marked = [name for name, row in known.items() if row.get("default")]
    if marked:
        return marked[0]
    return "default" if "default" in known else next(iter(known)) if len(known) == 1 else None


def _some(known: Iterable[str]) -> str:
    names = list(known)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _patterns(data_files: object) -> tuple[list[str], list[str]]:
    """Return the patterns of a ``data_files:``, and the splits it tells."""
    if isinstance(data_files, str):
        return [data_files], []
    if isinstance(data_files, dict):
        told = cast("dict[str, Any]", data_files)
        return [text for each in told.values() for text in file_texts(each)], list(told)
    patterns: list[str] = []
    splits: list[str] = []
    for each in cast("list[Any]", data_files) if isinstance(data_files, list) else []:
        if isinstance(each, dict):
            patterns += file_texts(each.get("path"))
            splits.append(str(each.get("split")))
        else:
            patterns += file_texts(each)
    return patterns, splits


def _chosen(snapshot: Snapshot, what: str, patterns: Sequence[str], folder: str) -> Choice:
    inside = folder.strip("/")
    whole = [f"{inside}/{each}" if inside and "://" not in each else each for each in patterns]
    lost: list[str] = []
    found: dict[str, None] = {file.path: None for file in snapshot.files if file.path in CARD_FILES}
    for pattern in whole:
        met = matching(snapshot, pattern)
        found |= dict.fromkeys(met)
        if not met:
            lost.append(pattern)
    if not lost:
        return Choice(tuple(found))
    return Choice(tuple(found), Gap(what, f"no file is {', '.join(lost)}", f"in {snapshot.reference}"))


def matching(snapshot: Snapshot, pattern: str) -> list[str]:
    """Return the paths that a pattern means: ``*`` within a folder, ``**`` across folders, ``[…]``, ``{a,b}``."""
    plain = _own_path(snapshot, pattern)
    if plain is None:
        return []
    if snapshot.get(plain) is not None:
        return [plain]
    shapes = [_shape(each) for each in _expanded(plain)]
    return [file.path for file in snapshot.files if any(shape.fullmatch(file.path) for shape in shapes)]


def _own_path(snapshot: Snapshot, pattern: str) -> str | None:
    """Return a pattern without the address of its repository; None: it is of another place."""
    for prefix in (f"hf://datasets/{snapshot.id}/", f"hf://datasets/{snapshot.id}@"):
        if pattern.startswith(prefix):
            rest = pattern[len(prefix) :]
            return rest if prefix.endswith("/") else rest.partition("/")[2]
    return None if "://" in pattern else str(PurePosixPath(pattern)) if pattern else None


def _expanded(pattern: str) -> list[str]:
    pieces = _BRACES.split(pattern)
    choices = [piece.split(",") if number % 2 else [piece] for number, piece in enumerate(pieces)]
    return ["".join(parts) for parts in product(*choices)]


def _shape(pattern: str) -> re.Pattern[str]:
    told, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            told, at = f"{told}(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            told, at = f"{told}.*", at + 2
        elif pattern[at] == "*":
            told, at = f"{told}[^/]*", at + 1
        elif pattern[at] == "?":
            told, at = f"{told}[^/]", at + 1
        elif pattern[at] == "[" and "]" in pattern[at + 2 :]:
            end = pattern.index("]", at + 2)
            inner = pattern[at + 1 : end].replace("\\", "\\\\")
            told, at = f"{told}[{'^' + inner[1:] if inner.startswith('!') else inner}]", end + 1
        else:
            told, at = told + re.escape(pattern[at]), at + 1
    return re.compile(told)
