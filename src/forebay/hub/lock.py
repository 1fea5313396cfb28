"""The lock file: which bytes references meant, so that an evaluation can be repeated exactly.

::

    version = 1

    [[repository]]
    reference = "hf://datasets/Rowan/hellaswag"
    commit = "218ec52e09a7e7462a5400043bb9a69a41d06b76"

    [[repository.file]]
    path = "data/train-00000-of-00001.parquet"
    size = 24365234
    identity = "sha256:…"
    blake3 = "…"

TOML, sorted, the same bytes for the same content. ``id`` stands there where the hub calls the repository otherwise than
the reference does, ``partial = true`` where only some of its files are locked. Whatever else is in it is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from forebay.errors import CacheRequiredError, InputError, NotFoundError, OriginError, StoreError, WrongBytesError
from forebay.hub.memory import Memory
from forebay.hub.origin import Listing
from forebay.hub.reference import Reference, parse
from forebay.hub.snapshot import SNAPSHOT, Snapshot, SnapshotFile, listed
from forebay.hub.standing import Contents
from forebay.store import Store
from forebay.types import JSON, is_hex64

if TYPE_CHECKING:
    from forebay.hub.hub import FetchOptions, Hub

NAME = "forebay.lock"
"""What the file is called where nobody says otherwise."""

_VERSION = 1
_REPOSITORY = {"reference": str, "commit": str, "file": list, "id": str, "partial": bool}
_FILE = {"path": str, "size": int, "identity": str, "blake3": str}
_IDENTITY = re.compile(r"sha256:[0-9a-f]{64}|git:[0-9a-f]{40}|(blake3|etag):[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file: its size in bytes, what the hub calls its content, and its digest in the store."""

    path: str
    size: int
    identity: str
    blake3: str


@dataclass(frozen=True, slots=True)
class LockedRepository:
    """What a reference meant.

    Attributes:
        reference: as it was given, without path and configuration.
        commit: of that moment.
        files: sorted by path.
        id: as the hub writes it; "" where the reference says the same.
        partial: whether the repository has files that are not locked.
    """

    reference: str
    commit: str
    files: tuple[LockedFile, ...]
    id: str = ""
    partial: bool = False

    @property
    def snapshot(self) -> Snapshot:
        """What to fetch: exactly these files."""
        meant = parse(self.reference)
        files = tuple(SnapshotFile(file.path, file.size, file.identity) for file in self.files)
        id = self.id or meant.id  # noqa: A001 - the hubs' own word
        return Snapshot(meant.hub, meant.type, id, self.commit, files, partial=True)


@dataclass(frozen=True, slots=True)
class Lock:
    """Repositories by reference, sorted."""

    repositories: tuple[LockedRepository, ...] = ()

    def get(self, reference: str | Reference) -> LockedRepository | None:
        """Return what is locked under a reference, or None."""
        name = str(parse(reference).whole)
        return next((one for one in self.repositories if one.reference == name), None)

    def chosen(self, references: Iterable[str | Reference]) -> list[LockedRepository]:
        """Return what is locked under references; none: all.

        Raises:
            NotFoundError: one is not in the lock.
        """
        names = [str(parse(reference).whole) for reference in references]
        for name in names:
            if self.get(name) is None:
                hint = "`forebay fetch --update` writes it there"
                raise NotFoundError(f"{name} is not in the lock file", subject=name, hint=hint)
        return [one for one in self.repositories if not names or one.reference in names]

    def with_(self, repositories: Iterable[LockedRepository]) -> Lock:
        """Return the lock with these put in, in place of what stood under their references."""
        known = {one.reference: one for one in self.repositories} | {one.reference: one for one in repositories}
        return Lock(tuple(known[name] for name in sorted(known)))

    def dumps(self) -> str:
        """Return it as TOML."""
        lines = [
            "# Which bytes were meant, so that they can be had again: forebay fetch --locked. Written by forebay.",
            f"version = {_VERSION}",
        ]
        for one in self.repositories:
            lines += ["", "[[repository]]", f"reference = {_text(one.reference)}", f"commit = {_text(one.commit)}"]
            lines += [f"id = {_text(one.id)}"] if one.id else []
            lines += ["partial = true"] if one.partial else []
            for file in one.files:
                lines += ["", "[[repository.file]]", f"path = {_text(file.path)}", f"size = {file.size}"]
                lines += [f"identity = {_text(file.identity)}", f"blake3 = {_text(file.blake3)}"]
        return "\n".join(lines) + "\n"


def loads(text: str, where: str = NAME) -> Lock:
    """Return the lock that TOML says.

    Raises:
        InputError: it is not one.
    """
    import tomllib  # only those who have a lock pay for the parser

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(where, f"it is not TOML: {error}") from error
    if table.get("version") != _VERSION:
        raise _wrong(where, f"its version is {table.get('version')!r}, known is {_VERSION}")
    rows = table.get("repository", [])
    if set(table) - {"version", "repository"} or not isinstance(rows, list):
        raise _wrong(where, f"unknown {', '.join(sorted(set(table) - {'version', 'repository'})) or 'repository'}")
    found = [_repository(row, where) for row in cast("list[object]", rows)]
    names = [one.reference for one in found]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise _wrong(where, f"{double} stands there twice")
    return Lock().with_(found)


def read(path: Path) -> Lock:
    """Return the lock in a file.

    Raises:
        NotFoundError: no such file.
        InputError: it is no lock.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        hint = "`forebay fetch --update REFERENCE…` writes one"
        raise NotFoundError(f"no lock file {path}", subject=path, hint=hint) from None
    except OSError as error:
        hint = "name a file that you may read"
        raise InputError(f"cannot read {path}: {error.strerror}", subject=path, hint=hint) from error
    except ValueError as error:  # not UTF-8
        raise InputError(f"cannot read {path}: {error}", subject=path, hint="it must be TOML") from error
    return loads(text, str(path))


def write(path: Path, lock: Lock) -> bool:
    """Write a lock, at once; tell whether anything changed.

    Raises:
        StoreError: it cannot be written; what was there stays.
    """
    text = lock.dumps()
    try:
        if path.read_text("utf-8") == text:
            return False
    except (OSError, ValueError):
        pass  # it is written anew
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        what = f"cannot write {path}: {error.strerror}"
        raise StoreError(what, subject=path, hint="--lock FILE names another place") from error
    return True


def snapshot_of(hub: Hub, one: LockedRepository, options: FetchOptions) -> Snapshot:
    """Return the snapshot that is locked, with all its files where the store or the hub tells them.

    Where neither does, or where the commit is no longer there, only the files that are locked are in it.
    """
    meant = parse(one.reference)
    if meant.hub in ("hf", "ms"):
        reference = replace(meant, id=one.id or meant.id, revision=one.commit)
        try:
            found = hub.resolve(reference, offline=options.offline, token=options.token)
        except (NotFoundError, CacheRequiredError, OriginError):
            return one.snapshot
        if found.commit == one.commit:
            return found
    return one.snapshot


def locked(
    store: Store, reference: str | Reference, snapshot: Snapshot, paths: Container[str] | None = None
) -> LockedRepository:
    """Return what to write down of a snapshot that was fetched: the files that the store holds.

    Args:
        store: that holds them.
        reference: what it was called.
        snapshot: what that means.
        paths: of these files alone; None: of all.

    Raises:
        NotFoundError: it holds none of them.
    """
    meant = parse(reference).whole
    held = Contents(store, store.get(SNAPSHOT, snapshot.key))
    files: list[LockedFile] = []
    for file in snapshot.files:
        ref = held.get(file) if paths is None or file.path in paths else None
        if ref is not None:
            files.append(LockedFile(file.path, ref.size, file.identity, ref.digest))
    if not files and snapshot.files:
        hint = f"`forebay fetch {meant}` first"
        raise NotFoundError(f"the store holds nothing of {meant}", subject=str(meant), hint=hint)
    id = "" if snapshot.id == meant.id else snapshot.id  # noqa: A001
    partial = snapshot.partial or len(files) < len(snapshot.files)
    return LockedRepository(str(meant), snapshot.commit, tuple(files), id, partial)


def check(store: Store, one: LockedRepository) -> None:
    """See that the store holds exactly the bytes that are locked.

    Raises:
        WrongBytesError: a file's content is not what was locked, though the hub calls it the same.
        NotFoundError: a file is not there.
    """
    snapshot = one.snapshot
    held = Contents(store, store.get(SNAPSHOT, snapshot.key))
    for file, wanted in zip(snapshot.files, one.files, strict=True):
        ref = held.get(file)
        if ref is None:
            hint = "`forebay fetch --locked`"
            raise NotFoundError(f"{file.path} of {one.reference} is not in the store", subject=file.path, hint=hint)
        if ref.digest != wanted.blake3:
            what = f"{file.path} of {one.reference} is {ref.digest[:12]}, locked is {wanted.blake3[:12]}"
            raise WrongBytesError(what, subject=file.path, hint="ask whoever wrote the lock file")


def remember(store: Store, one: LockedRepository, *, move: bool = False) -> str:
    """Let a reference mean what is locked, where no hub has said what it means: then it can be used offline.

    Args:
        store: where.
        one: what is locked.
        move: also where it means another commit, until a hub is asked again.

    Returns:
        The other commit that it meant before, or "".
    """
    memory, reference = Memory(store), parse(one.reference)
    if not store.writable or (not move and memory.known(reference) is not None):
        return ""
    meant = memory.standing(reference)
    if meant is not None and meant.commit == one.commit:
        return ""
    there = memory.snapshot(one.snapshot.key)
    memory.save(reference, Listing(there or one.snapshot), 0.0, moves=True)
    return meant.commit if meant is not None else ""


ChangeKind: TypeAlias = Literal["added", "removed", "moved"]


@dataclass(frozen=True, slots=True)
class Change:
    """How one reference differs between two locks.

    Attributes:
        reference: which one.
        kind: ``moved`` is: it means another commit, or other files.
        before: commit, or "".
        after: likewise.
        added: paths of files that are new.
        removed: paths of files that are gone.
        changed: paths of files whose content is another.
    """

    reference: str
    kind: ChangeKind
    before: str = ""
    after: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        told: dict[str, JSON] = {"reference": self.reference, "kind": self.kind}
        told |= {"before": self.before, "after": self.after}
        told |= {"added": [*self.added], "removed": [*self.removed], "changed": [*self.changed]}
        return told


def diff(before: Lock, after: Lock) -> list[Change]:
    """Return what differs, by reference; files by identity, so that nothing need be fetched to tell."""
    old = {one.reference: one for one in before.repositories}
    new = {one.reference: one for one in after.repositories}
    changes: list[Change] = []
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        if one is None or other is None:
            kind: ChangeKind = "added" if one is None else "removed"
            commits = (one.commit if one else "", other.commit if other else "")
            changes.append(Change(name, kind, *commits))
            continue
        moved = _moved(one, other)
        if moved is not None:
            changes.append(moved)
    return changes


def _moved(one: LockedRepository, other: LockedRepository) -> Change | None:
    was = {file.path: (file.identity, file.size) for file in one.files}
    now = {file.path: (file.identity, file.size) for file in other.files}
    added, removed = sorted(now.keys() - was.keys()), sorted(was.keys() - now.keys())
    changed = sorted(path for path in was.keys() & now.keys() if was[path] != now[path])
    if one.commit == other.commit and not (added or removed or changed):
        return None
    return Change(one.reference, "moved", one.commit, other.commit, tuple(added), tuple(removed), tuple(changed))


def meant_now(one: LockedRepository, snapshot: Snapshot) -> LockedRepository:
    """Return what a snapshot would be locked as, its digests unknown; of a partial one, the files that are locked."""
    paths = {file.path for file in one.files}
    files = tuple(
        LockedFile(file.path, file.size or 0, file.identity, "")
        for file in snapshot.files
        if not one.partial or file.path in paths
    )
    return replace(one, commit=snapshot.commit, files=files)


def _repository(row: object, where: str) -> LockedRepository:
    fields = _fields(row, _REPOSITORY, {"reference", "commit"}, where)
    reference, commit = str(fields["reference"]), str(fields["commit"])
    if str(parse(reference).whole) != reference or not _COMMIT.fullmatch(commit):
        raise _wrong(where, f"{reference} at {commit} is no reference with a commit")
    rows = cast("list[object]", fields.get("file", []))
    files = tuple(sorted((_file(each, where) for each in rows), key=lambda file: file.path))
    listed((SnapshotFile(file.path, file.size, file.identity) for file in files), where)
    return LockedRepository(reference, commit, files, str(fields.get("id", "")), bool(fields.get("partial", False)))


def _file(row: object, where: str) -> LockedFile:
    fields = _fields(row, _FILE, set(_FILE), where)
    file = LockedFile(**cast("dict[str, Any]", fields))
    if file.size < 0 or not is_hex64(file.blake3) or not _IDENTITY.fullmatch(file.identity):
        raise _wrong(where, f"{file.path} has no such size, identity or digest")
    return file


def _fields(row: object, types: Mapping[str, type], needed: set[str], where: str) -> dict[str, object]:
    if not isinstance(row, dict):
        raise _wrong(where, f"{row!r} is no table")
    fields = cast("dict[str, object]", row)
    for name, value in fields.items():
        if name not in types or type(value) is not types[name]:
            raise _wrong(where, f"unknown {name} = {value!r}")
    if missing := sorted(needed - fields.keys()):
        raise _wrong(where, f"{', '.join(missing)} is missing")
    return fields


def _text(value: str) -> str:
    """Return a TOML string; JSON's are, but for one letter."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _wrong(where: str, why: str) -> InputError:
    return InputError(f"{where} is no lock file: {why}", subject=where, hint="write it with `forebay fetch --update`")
