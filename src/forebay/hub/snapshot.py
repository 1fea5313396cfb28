"""Snapshots: a repository at a commit, and what each of its files is.

A small worked example, the manifest that the store keeps (canonical JSON, one line)::

    {"commit":"218ec52e…","files":[{"identity":"git:8ab3…","path":"README.md","size":2034},
     {"git_oid":"77fe…","identity":"sha256:5b1c…","lfs_sha256":"5b1c…","path":"data/train.parquet","size":24365234}],
     "hub":"hf","id":"Rowan/hellaswag","type":"dataset"}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, cast

from blake3 import blake3

from forebay.errors import InputError, NotFoundError, ObjectDamagedError
from forebay.hub.reference import HubName, Reference, RepositoryType, is_utf8
from forebay.text import counted
from forebay.types import JSON, Key

FILE, SNAPSHOT, ABSENT = "file", "snapshot", "absent"
"""Kinds of entries."""

MANIFEST, INFO, CONTENT = "manifest", "info", "content"
"""Roles of objects; the contents of a snapshot's files have the role ``file:PATH``."""


def key_of(*parts: JSON) -> Key:
    """Return the key of a tagged list."""
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return Key(blake3(text.encode("utf-8", "surrogatepass")).hexdigest())


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """One file of a snapshot.

    Attributes:
        path: within the repository, parted by ``/``.
        size: in bytes; None where the origin does not say.
        identity: what its content is called: ``sha256:…``, ``git:…`` (sha1 of the git blob), ``blake3:…``, or
            ``etag:…`` (BLAKE3 of URL and ETag: all that is known before it is there).
        git_oid: the git sha1 in the tree; for an LFS file that of the pointer.
        lfs_sha256: the sha256 under which LFS keeps it, or "".
        etag: the origin's own strong validator, or "".
    """

    path: str
    size: int | None
    identity: str
    git_oid: str = ""
    lfs_sha256: str = ""
    etag: str = ""

    @property
    def key(self) -> Key:
        """The key of its `file` entry: over identity and size, and nothing else."""
        return file_key(self.identity, self.size)

    def to_json(self) -> dict[str, JSON]:
        """Return it as the manifest has it."""
        given = {"git_oid": self.git_oid, "lfs_sha256": self.lfs_sha256, "etag": self.etag}
        told: dict[str, JSON] = {"path": self.path, "size": self.size, "identity": self.identity}
        return told | {name: value for name, value in given.items() if value}


def content_role(path: str) -> str:
    """Return the role that a file's content has in its snapshot's entry."""
    return f"file:{path}"


def file_key(identity: str, size: int | None) -> Key:
    """Return the key under which bytes of this identity are kept."""
    return key_of("forebay.file/1", identity, size)


def snapshot_key(hub: str, type: str, id: str, commit: str) -> Key:  # noqa: A002 - the hubs' own words
    """Return the key of a snapshot's entry."""
    return key_of("forebay.snapshot/1", hub, type, id, commit)


@dataclass(frozen=True)
class Snapshot:
    """A repository at a commit. Never changes.

    Attributes:
        hub: ``hf``, ``ms``, ``url``, ``store`` or ``local``.
        type: ``dataset``, ``model``, ``space``; ``file`` or ``folder`` where there is no hub.
        id: as the hub itself writes it now, which after a renaming is not what was asked for.
        commit: 40 hex digits; where an origin has none, BLAKE3 over the files (64).
        files: sorted by path.
        restricted: whether the hub gives it to some only (gated or private).
        partial: whether there may be files that are not listed: it was found in another program's cache.
    """

    hub: HubName
    type: RepositoryType
    id: str
    commit: str
    files: tuple[SnapshotFile, ...]
    restricted: bool = False
    partial: bool = False

    @property
    def key(self) -> Key:
        """The key of its entry."""
        return snapshot_key(self.hub, self.type, self.id, self.commit)

    @property
    def bytes(self) -> int:
        """Of all its files whose size is known."""
        return sum(file.size or 0 for file in self.files)

    @property
    def reference(self) -> Reference:
        """The reference that means this snapshot for ever."""
        return Reference(self.hub, self.type, self.id, self.commit)

    @property
    def dataset(self) -> str:
        """Human name for entries."""
        return self.id if self.hub not in ("hf", "ms") else f"{self.hub}://{_prefix(self.type)}{self.id}"

    @cached_property
    def _by_path(self) -> Mapping[str, SnapshotFile]:
        return {file.path: file for file in self.files}

    def lists(self, id: str, commit: str | None) -> bool:  # noqa: A002 - the hubs' own word
        """Tell whether this says all that is in a repository at a commit."""
        return (self.id, self.commit) == (id, commit) and not self.partial

    def get(self, path: str) -> SnapshotFile | None:
        """Return the file at a path, or None."""
        return self._by_path.get(path)

    def file(self, path: str) -> SnapshotFile:
        """Return the file at a path.

        Raises:
            NotFoundError: there is none.
        """
        found = self._by_path.get(path)
        if found is None:
            import difflib

            near = difflib.get_close_matches(path, self._by_path, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {counted(len(self.files), 'file')}"
            raise NotFoundError(f"no file {path} in {self.dataset} at {self.commit[:12]}", subject=path, hint=hint)
        return found

    def chosen(self, include: Iterable[str] = (), exclude: Iterable[str] = (), within: str = "") -> list[SnapshotFile]:
        """Return the files that patterns choose.

        Args:
            include: shell patterns (``*`` meets slashes too), or folders; none: all.
            exclude: likewise, and stronger.
            within: a file or folder.

        Raises:
            InputError: patterns are no list.
            NotFoundError: nothing is there at all under `within` or `include`.
        """
        for patterns in (include, exclude):
            if isinstance(patterns, str):  # its letters, one of which may be a star
                raise InputError(
                    f"not a list of patterns: {patterns!r}", subject=patterns, hint=f"write [{patterns!r}]"
                )
        wanted, unwanted = list(include), list(exclude)
        inside = [each for each in self.files if not within or _meets(each.path, within)]
        found = [each for each in inside if not wanted or any(_meets(each.path, pattern) for pattern in wanted)]
        if not found and (within or wanted):
            what = f"nothing in {self.dataset} at {self.commit[:12]} is {' or '.join(wanted or [within])}"
            raise NotFoundError(
                what, subject=self.dataset, hint="paths are as the hub shows them; patterns are data/*.csv"
            )
        return [each for each in found if not any(_meets(each.path, pattern) for pattern in unwanted)]

    def manifest(self) -> bytes:
        """Return the canonical JSON of it."""
        told: dict[str, JSON] = {"hub": self.hub, "type": self.type, "id": self.id, "commit": self.commit}
        told["files"] = [file.to_json() for file in self.files]
        return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")

    @classmethod
    def from_manifest(cls, data: bytes | memoryview, *, restricted: bool = False, partial: bool = False) -> Snapshot:
        """Return the snapshot that `manifest` wrote.

        Raises:
            ObjectDamagedError: it is none.
        """
        try:
            told = cast("dict[str, Any]", json.loads(bytes(data)))
            files = tuple(SnapshotFile(**file) for file in told["files"])
            return cls(told["hub"], told["type"], told["id"], told["commit"], files, restricted, partial)
        except (KeyError, TypeError, ValueError) as error:
            raise ObjectDamagedError(f"not a snapshot's manifest: {error!r}", hint="fetch it again") from error


def listed(files: Iterable[SnapshotFile], what: str) -> tuple[SnapshotFile, ...]:
    """Return files sorted, each path looked at: what a hub says must not lead out of the folder it is laid in.

    Raises:
        InputError: a path that no repository can have, or one that stands there twice.
    """
    found: dict[str, SnapshotFile] = {}
    for file in files:
        parts = file.path.split("/")
        if not is_utf8(file.path):
            what = f"{what} lists the path {file.path!r}, which is not UTF-8"
            raise InputError(what, subject=file.path, hint="rename the file")
        if "" in parts or ".." in parts or "." in parts or "\0" in file.path or file.path in found:
            why = "stands there twice" if file.path in found else "leads elsewhere"
            raise InputError(
                f"{what} lists the path {file.path!r}, which {why}", subject=file.path, hint="do not use it"
            )
        found[file.path] = file
    return tuple(found[path] for path in sorted(found))


def literal(path: str) -> str:
    """Return a shell pattern that means one path."""
    return "".join(f"[{mark}]" if mark in "*?[" else mark for mark in path)


def _meets(path: str, pattern: str) -> bool:
    folder = pattern.rstrip("/")
    return fnmatchcase(path, pattern) or path == folder or path.startswith(f"{folder}/")


def _prefix(type: str) -> str:  # noqa: A002
    return "" if type == "model" else f"{type}s/"
