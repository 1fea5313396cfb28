"""What the store has of a commit, and which one a branch stands for while no hub can be asked.

See design/0008-hub.md, "A name moves when its bytes are there".
"""

from __future__ import annotations

from pathlib import PurePosixPath

from forebay.hub.snapshot import FILE, SNAPSHOT, Snapshot, SnapshotFile, content_role
from forebay.hub.vouching import is_vouched, owner_by
from forebay.store import Store
from forebay.types import Entry, ObjectRef


class Contents:
    """The contents of a snapshot's files, as far as the store holds them, and may give them out as its own.

    Args:
        store: where to look.
        entry: of the snapshot, whose objects are looked at first; None: the store has none.
    """

    def __init__(self, store: Store, entry: Entry | None) -> None:
        self._store = store
        self._owner = owner_by(entry)
        self._named = {ref.role: ref for ref in entry.objects} if entry is not None else {}

    def get(self, file: SnapshotFile) -> ObjectRef | None:
        """Return the content of a file; None: the store does not hold it."""
        ref = self._named.get(content_role(file.path))
        if ref is not None and self._store.has(ref.digest):
            return ref
        entry = self._store.get(FILE, file.key)
        if entry is None or not is_vouched(entry, self._owner):
            return None
        return next((ref for ref in entry.objects if self._store.has(ref.digest)), None)


def stands(store: Store, latest: Snapshot, before: Snapshot) -> bool:
    """Tell whether the store has enough of a commit to use it in place of the one before.

    That is, all files that it has of the one before and that are in both, whatever they hold by now; all data that came
    into a folder of which it has all that was there (another shard of a split, say); and where others that it has are
    gone, one of those that came at least, or of those that stayed where none came.
    """
    now, then = (Contents(store, store.get(SNAPSHOT, each.key)) for each in (latest, before))
    gone = False
    whole: dict[str, bool] = {}
    for file in before.files:
        held, successor = then.get(file) is not None, latest.get(file.path)
        if held and successor is not None and now.get(successor) is None:
            return False
        gone = gone or (held and successor is None)
        if _is_data(file):
            whole[_folder(file)] = held and whole.get(_folder(file), True)
    came = [file for file in latest.files if before.get(file.path) is None]
    if any(whole.get(_folder(file)) and _is_data(file) and now.get(file) is None for file in came):
        return False
    return not gone or not latest.files or any(now.get(file) is not None for file in came or latest.files)


def _folder(file: SnapshotFile) -> str:
    return file.path.rpartition("/")[0]


def _is_data(file: SnapshotFile) -> bool:
    """Tell whether a program may read a file as data: not a card, a licence, `.gitattributes`."""
    return PurePosixPath(file.path).suffix not in ("", ".md")
