"""Which files of a repository one configuration of a dataset needs, and whether it has that configuration at all.

What the README tells of that is read by `forebay.hub.cards`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forebay.hub.cards import CARD_FILES, configurations, default_of, file_texts, matching, patterns_of, within
from forebay.hub.snapshot import Snapshot
from forebay.integrations.tasks import Gap, Load


@dataclass(frozen=True, slots=True)
class Choice:
    """What one load needs of a snapshot.

    Attributes:
        files: their paths.
        gap: why it will not load, or None.
    """

    files: tuple[str, ...]
    gap: Gap | None = None


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
    name = load.name or default_of(known)
    if name is None:
        return Choice(everything, Gap(what, f"several configurations and no default: {_some(known)}"))
    if name not in known:
        if load.hub == "ms":  # there a subset may be no more than a column's value
            return Choice(everything)
        return Choice((), Gap(what, f"has no configuration {name!r}", f"it has {_some(known)}"))
    row = known[name]
    patterns, splits = patterns_of(row.get("data_files"))
    folder = str(row.get("data_dir") or "")
    if not patterns:
        return Choice(everything) if not folder else _chosen(snapshot, what, ["**"], folder)
    lost = [split for split in load.splits if splits and split not in splits]
    found = _chosen(snapshot, what, patterns, folder)
    if lost and found.gap is None:
        return Choice(found.files, Gap(what, f"has no split {', '.join(lost)}", f"it has {', '.join(splits)}"))
    return found


def _some(known: Iterable[str]) -> str:
    names = list(known)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _chosen(snapshot: Snapshot, what: str, patterns: Sequence[str], folder: str) -> Choice:
    whole = within(patterns, folder)
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
