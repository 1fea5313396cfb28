"""What is in a snapshot, folder by folder, with the names that git has for folders.

A snapshot knows files only. Folders and their git names follow from them::

    README.md              git:8b1a99…          ""      the root: sha1 of "tree LENGTH\\0" and its entries
    data/a.parquet         sha256:… (LFS)       data    likewise
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forebay.hub.snapshot import Snapshot, SnapshotFile


@dataclass(frozen=True)
class Listing:
    """The tree of one snapshot. Made once and kept: a snapshot never changes."""

    snapshot: Snapshot

    @cached_property
    def files(self) -> Mapping[str, SnapshotFile]:
        """Path -> file."""
        return {file.path: file for file in self.snapshot.files}

    @cached_property
    def folders(self) -> Mapping[str, str]:
        """Folder -> its git name; "" is the root, which is always there."""
        return _folders(self.snapshot.files)

    @cached_property
    def _children(self) -> Mapping[str, list[str]]:
        held: dict[str, list[str]] = {folder: [] for folder in self.folders}
        for path in (*sorted(self.folders), *sorted(self.files)):
            if path:
                held[path.rpartition("/")[0]].append(path)
        return held

    def below(self, folder: str, *, recursive: bool = False) -> list[str]:
        """Return what is in a folder, or anywhere below it: folders before files, each sorted.

        Raises:
            KeyError: there is no such folder.
        """
        if not recursive:
            return self._children[folder]
        if folder not in self.folders:
            raise KeyError(folder)
        prefix = f"{folder}/" if folder else ""
        every = (*sorted(self.folders), *sorted(self.files))
        return [path for path in every if path.startswith(prefix) and path not in ("", folder)]

    def oid(self, path: str) -> str:
        """Return the git sha1 of a file's blob or a folder's tree.

        Raises:
            KeyError: there is neither.
        """
        return git_oid(self.files[path]) if path in self.files else self.folders[path]


def git_oid(file: SnapshotFile) -> str:
    """Return the git sha1 of a file's blob; where the hub told none, something of its form that stays the same."""
    if file.git_oid:
        return file.git_oid
    kind, _, name = file.identity.partition(":")
    if kind == "git":
        return name
    return hashlib.sha1(f"{file.identity} {file.size}".encode()).hexdigest()


def sha256(file: SnapshotFile) -> str | None:
    """Return the sha256 of a file's bytes, where the hub tells it."""
    if file.lfs_sha256:
        return file.lfs_sha256
    kind, _, name = file.identity.partition(":")
    return name if kind == "sha256" else None


def etag(file: SnapshotFile) -> str:
    """Return what names the content to clients, without quotes: sha256 behind LFS, else the git sha1."""
    return file.lfs_sha256 or file.identity.partition(":")[2]


def _folders(files: tuple[SnapshotFile, ...]) -> dict[str, str]:
    held: dict[str, dict[str, tuple[str, str]]] = {"": {}}
    for file in files:
        folder, _, name = file.path.rpartition("/")
        held.setdefault(folder, {})[name] = ("100644", git_oid(file))
        while folder:
            folder = folder.rpartition("/")[0]
            held.setdefault(folder, {})
    names: dict[str, str] = {}
    for folder in sorted(held, key=lambda folder: (-folder.count("/") - bool(folder), folder)):  # the deepest first
        names[folder] = _tree_name(held[folder])
        if folder:
            above, _, name = folder.rpartition("/")
            held[above][name] = ("40000", names[folder])
    return names


def _tree_name(entries: Mapping[str, tuple[str, str]]) -> str:
    # git sorts a folder as if its name ended in "/"
    ordered = sorted(entries.items(), key=lambda entry: entry[0].encode() + b"/" * (entry[1][0] == "40000"))
    body = b"".join(f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid) for name, (mode, oid) in ordered)
    return hashlib.sha1(b"tree %d\0" % len(body) + body).hexdigest()
