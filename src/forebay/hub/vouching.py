"""Who has shown that they have a file's bytes: what one repository calls its own need not be given to its readers.

A file is kept once, by its hash, whichever repository it came from. Anybody can list the hash of a file that only some
may have (of a gated model, say) in a repository of their own. So the entry of a file says which repositories *sent* the
bytes, unless a public one did: for all others it is as if the file were not there, and they must send it themselves.
"""

from __future__ import annotations

from typing import cast

from forebay.hub.snapshot import Snapshot, key_of
from forebay.types import JSON, Entry, Key

_RESTRICTED = "restricted"


def owner(snapshot: Snapshot) -> str:
    """Return the repository that bytes belong to; "" for a public one, whose bytes belong to all."""
    return f"{snapshot.hub}/{snapshot.type}/{snapshot.id}" if snapshot.restricted else ""


def owner_by(entry: Entry | None) -> str:
    """Return what `owner` says of a snapshot, from its entry; None: it has none."""
    if entry is None or not entry.meta.get(_RESTRICTED):
        return ""
    return "/".join(str(entry.meta.get(part)) for part in ("hub", "type", "id"))


def is_vouched(entry: Entry, restricted: str) -> bool:
    """Tell whether a file's bytes may be given out as those of a repository, see `owner`."""
    owners = entry.meta.get(_RESTRICTED)
    return not owners or restricted in cast("list[str]", owners)


def vouched_by(entry: Entry | None, restricted: str) -> dict[str, JSON]:
    """Return what an entry says of those who sent its bytes.

    Args:
        entry: what is there; None: nothing.
        restricted: the repository that has sent them just now, see `owner`.
    """
    owners = cast("list[str]", entry.meta.get(_RESTRICTED) or []) if entry is not None else []
    if not restricted or (entry is not None and not owners):
        return {}
    return {_RESTRICTED: cast("JSON", sorted({*owners, restricted}))}


def place(snapshot: Snapshot, file: Key) -> Key:
    """Return under which key a file is downloaded: for others to follow, but not those of another repository."""
    return key_of("forebay.restricted/1", owner(snapshot), file) if snapshot.restricted else file
