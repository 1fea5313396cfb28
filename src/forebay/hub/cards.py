"""What a repository's README tells of its configurations, and which files each of them needs.

A repository tells its configurations in the YAML head of its README, under ``configs``. Where it does not, `datasets`
finds files by their names: then all of them are taken, rather than guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import PurePosixPath
from typing import Any, cast

from forebay.errors import InputError, NotFoundError
from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot
from forebay.types import JSON, Buffer

README = "README.md"
CARD_FILES = (README, "dataset_infos.json", ".huggingface.yaml")
"""Files of a dataset that `load_dataset` reads before any data, where they exist."""

_HEAD = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_BRACES = re.compile(r"\{([^{}]*)\}")
_EXPORTS = "refs/convert/"
"""On such branches a hub keeps each configuration in a folder of its name."""
_SHOWN = 12


def configured(snapshot: Snapshot, reference: Reference, read_card: Callable[[], Buffer]) -> frozenset[str] | None:
    """Return the paths of the files that a configuration needs, the README among them; None: all of the snapshot.

    Args:
        snapshot: a dataset.
        reference: names the configuration.
        read_card: gives the content of its README.md, where it has one.

    Raises:
        InputError: it is no dataset.
        NotFoundError: there is no such configuration, or it has no files.
    """
    if snapshot.type != "dataset":
        what = f"{snapshot.dataset} is a {snapshot.type}, and has no configurations"
        raise InputError(what, subject=str(reference), hint="leave out what follows #")
    card = bytes(read_card()) if snapshot.get(README) is not None else b""
    known, name = configurations(card.decode("utf-8", "replace")), reference.config
    if (reference.revision or "").startswith(_EXPORTS):
        known = {path.split("/")[0]: {"data_dir": path.split("/")[0]} for path in _paths(snapshot) if "/" in path}
    if name not in known:
        script = snapshot.get(f"{snapshot.id.rpartition('/')[2]}.py") is not None
        if snapshot.hub == "ms" or (not known and (script or name == "default")):
            return None  # a script's own, all files by their names; or, on ModelScope, no more than a column's value
        raise _unknown(snapshot, name, known or ["default"])
    patterns, _ = patterns_of(known[name].get("data_files"))
    folder = str(known[name].get("data_dir") or "")
    if not patterns and not folder:
        return None
    wanted = within(patterns or ["**"], folder)
    found = {path for pattern in wanted for path in matching(snapshot, pattern)}
    if not found:
        what = f"{snapshot.dataset} has no file of its configuration {name!r}"
        raise NotFoundError(what, subject=name, hint=f"none is {', '.join(wanted)}")
    return frozenset(found | _paths(snapshot) & set(CARD_FILES))


def _paths(snapshot: Snapshot) -> set[str]:
    return {file.path for file in snapshot.files}


def _unknown(snapshot: Snapshot, name: str, known: Iterable[str]) -> NotFoundError:
    names = list(known)
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return NotFoundError(f"{snapshot.dataset} has no configuration {name!r}", subject=name, hint=f"there are: {shown}")


def configurations(readme: str) -> dict[str, Mapping[str, Any]]:
    """Return the configurations in a README's head: name -> what is said of it; empty where it tells none."""
    import yaml  # where a card is read

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


def default_of(known: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the configuration that is meant where none is named, or None."""
    marked = [name for name, row in known.items() if row.get("default")]
    if marked:
        return marked[0]
    return "default" if "default" in known else next(iter(known)) if len(known) == 1 else None


def patterns_of(data_files: object) -> tuple[list[str], list[str]]:
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


def file_texts(data_files: JSON) -> list[str]:
    """Return the addresses in a `data_files` argument, whatever its shape: text, list, or split -> either."""
    if isinstance(data_files, str):
        return [data_files]
    if isinstance(data_files, dict):
        return [text for each in data_files.values() for text in file_texts(each)]
    return [text for each in data_files for text in file_texts(each)] if isinstance(data_files, list) else []


def within(patterns: Iterable[str], folder: str) -> list[str]:
    """Return patterns as they are from the root of a repository, of which they are meant from a folder on."""
    inside = folder.strip("/")
    return [f"{inside}/{each}" if inside and "://" not in each else each for each in patterns]


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
