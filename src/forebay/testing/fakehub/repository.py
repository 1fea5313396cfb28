"""Repositories as hubs keep them: commits of files, branches, tags, and who may read.

The object names are git's own, so a client that checks them finds what a real hub would have told it::

    repository = Repository("Rowan/hellaswag", files={"README.md": "---\\n---\\n", "data/a.parquet": Path("a.parquet")})
    first = repository.head                            # 40 hex digits, the same ones every time
    second = repository.commit({"README.md": "new"})   # on top of main; `delete=` takes files away
    repository.tag("v1", first)

A file above `lfs_bytes`, or with a suffix that hubs track by LFS, is named by the sha256 of its bytes and stands in the
tree as a pointer; every other one by its git sha1. All may be called from any thread; a request sees one commit.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from forebay.errors import InputError, NotFoundError

RepositoryType: TypeAlias = Literal["dataset", "model", "space"]
Content: TypeAlias = bytes | str | Path
"""What a file holds: bytes, a text (UTF-8), or a file on disk, which must stay as it is."""

LFS_SUFFIXES = (
    *(".7z", ".arrow", ".avi", ".bin", ".bz2", ".ckpt", ".gz", ".h5", ".jpg", ".jpeg", ".mp3", ".mp4", ".npy", ".npz"),
    *(".onnx", ".ot", ".parquet", ".pb", ".pickle", ".png", ".pt", ".pth", ".rar", ".safetensors", ".tar", ".tgz"),
    *(".wav", ".webp", ".xz", ".zip", ".zst"),
)
"""What hubs' own .gitattributes sends to LFS."""

LFS_BYTES = 10 * 2**20
"""From this size on a hub demands LFS."""

_AUTHOR = "Forebay <tests@forebay.invalid>"
_FIRST_SECOND = 1_700_000_000  # 2023-11-14T22:13:20Z; every commit is a minute after its parent
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """The content of one file, named as git and LFS name it.

    Attributes:
        oid: the git sha1 of the blob in the tree: of the pointer, for an LFS file.
        sha256: of the bytes themselves.
        pointer_bytes: size of the LFS pointer; 0 for a file that git keeps itself.
    """

    source: bytes | Path
    size: int
    oid: str
    sha256: str
    pointer_bytes: int = 0

    @property
    def lfs(self) -> bool:
        """Whether the file is kept by LFS."""
        return self.pointer_bytes > 0

    @property
    def etag(self) -> str:
        """What a hub names the content by: sha256 with LFS, else the git sha1 (no quotes)."""
        return self.sha256 if self.lfs else self.oid

    @property
    def identity(self) -> str:
        """The same as Forebay writes it: `sha256:…` or `git:…`."""
        return f"sha256:{self.sha256}" if self.lfs else f"git:{self.oid}"

    @property
    def xet_hash(self) -> str:
        """Something of a Xet hash's form (64 hex digits); no Xet store knows it."""
        return hashlib.sha256(b"xet " + self.sha256.encode()).hexdigest()

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `start` on; all the rest when None."""
        if isinstance(self.source, bytes):
            return self.source[start:] if length is None else self.source[start : start + length]
        with self.source.open("rb") as file:
            file.seek(start)
            return file.read() if length is None else file.read(length)

    def pointer(self) -> bytes:
        """Return the text that stands for an LFS file in git."""
        return _pointer(self.sha256, self.size)


@dataclass(frozen=True, slots=True)
class Commit:
    """What a repository held at one time: path -> file, folder -> git sha1 of its tree ("" is the root)."""

    sha: str
    parent: str | None
    title: str
    second: int
    files: Mapping[str, File]
    folders: Mapping[str, str]

    @property
    def date(self) -> str:
        """When: `2023-11-14T22:13:20.000Z`."""
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self.second, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def listed(self, folder: str = "", *, recursive: bool = False) -> list[str]:
        """Return what is in `folder`, or anywhere below it: folders before files, each sorted."""
        prefix = f"{folder}/" if folder else ""
        folders = sorted(path for path in self.folders if path.startswith(prefix) and path not in ("", folder))
        found = [*folders, *(path for path in self.files if path.startswith(prefix))]
        return found if recursive else [path for path in found if "/" not in path[len(prefix) :]]

    def oid(self, path: str) -> str | None:
        """Return the git sha1 of a file or folder; None when there is none."""
        return self.files[path].oid if path in self.files else self.folders.get(path)


class Repository:
    """A repository that tests change while it is served.

    Attributes:
        private: only `readers` know that it exists.
        gated: False, "auto" or "manual": everybody sees what is there, only `readers` get bytes.
        disabled: taken down by the hub: 403.
        readers: names of users who have access (see `FakeHub(users=…)`).
        former: ids under which it was known; they answer with a redirect.
        number: the number that ModelScope knows it by.
    """

    def __init__(  # noqa: PLR0913 (what a repository is)
        self,
        id: str,  # noqa: A002 (the hubs' own word)
        *,
        type: RepositoryType = "dataset",  # noqa: A002
        files: Mapping[str, Content] | None = None,
        hubs: Iterable[Literal["hf", "ms"]] = ("hf", "ms"),
        private: bool = False,
        gated: Literal[False, "auto", "manual"] = False,
        readers: Iterable[str] = (),
        former: Iterable[str] = (),
        lfs_bytes: int = LFS_BYTES,
        xet: bool = False,
    ) -> None:
        self.id, self.type, self.hubs = id, type, frozenset(hubs)
        self.private, self.gated, self.disabled = private, gated, False
        self.readers, self.former = set(readers), set(former)
        self.lfs_bytes, self.xet = lfs_bytes, xet
        self.number = int.from_bytes(hashlib.sha256(f"{type} {id}".encode()).digest()[:3], "big") + 1
        self._changing = threading.Lock()
        self._commits: dict[str, Commit] = {}
        self._branches: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._by_sha256: dict[str, File] = {}
        self.commit(files or {}, title="initial commit")

    # What is there

    @property
    def head(self) -> str:
        """The commit that `main` is at."""
        return self._branches["main"]

    @property
    def branches(self) -> Mapping[str, str]:
        """Branch -> commit; other references (`refs/convert/parquet`, `refs/pr/1`) among them."""
        return dict(self._branches)

    @property
    def tags(self) -> Mapping[str, str]:
        """Tag -> commit."""
        return dict(self._tags)

    def at(self, revision: str = "main") -> Commit:
        """Return the commit that a branch, tag or full sha names.

        Raises:
            NotFoundError: there is none.
        """
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        sha = self._branches.get(name) or self._tags.get(name) or name
        if sha not in self._commits:
            raise NotFoundError(f"{self.id} has no revision {revision}", subject=revision)
        return self._commits[sha]

    def history(self, revision: str = "main") -> Iterator[Commit]:
        """Yield a commit and its ancestors, newest first."""
        commit: Commit | None = self.at(revision)
        while commit is not None:
            yield commit
            commit = self._commits[commit.parent] if commit.parent else None

    def last_change(self, commit: Commit, path: str) -> Commit:
        """Return the oldest commit since when `path` has been what it is in `commit`."""
        last = commit
        for earlier in self.history(commit.sha):
            if earlier.oid(path) != commit.oid(path):
                break
            last = earlier
        return last

    def file(self, path: str, revision: str = "main") -> File:
        """Return a file of a revision (KeyError when it has none of that path)."""
        return self.at(revision).files[path]

    def content(self, sha256: str) -> File | None:
        """Return a file of any commit by the hash of its bytes."""
        return self._by_sha256.get(sha256)

    # Changes

    def commit(
        self, files: Mapping[str, Content], *, branch: str = "main", delete: Iterable[str] = (), title: str = ""
    ) -> str:
        """Add and replace `files` on top of `branch` (a new one starts at main) and return the new commit's sha."""
        added = {path: self._file(path, content) for path, content in files.items()}
        with self._changing:
            parent = self._commits.get(self._branches.get(branch) or self._branches.get("main", ""))
            held = {**(parent.files if parent else {}), **added}
            for path in delete:
                del held[path]
            commit = _commit(dict(sorted(held.items())), parent, title or f"change {', '.join(files) or 'nothing'}")
            self._commits[commit.sha] = commit
            self._by_sha256.update((file.sha256, file) for file in added.values())
            self._branches[branch] = commit.sha
        return commit.sha

    def branch(self, name: str, revision: str = "main") -> None:
        """Make or move a branch, or another reference such as `refs/convert/parquet`."""
        self._branches[name] = self.at(revision).sha

    def tag(self, name: str, revision: str = "main") -> None:
        """Make or move a tag."""
        self._tags[name] = self.at(revision).sha

    def rename(self, id: str) -> None:  # noqa: A002
        """Move to another id; the old one answers with a redirect from now on."""
        self.former = (self.former | {self.id}) - {id}
        self.id = id

    def may_read(self, user: str | None) -> bool:
        """Return whether `user` may have bytes."""
        return not (self.private or self.gated) or (user is not None and user in self.readers)

    def knows_of(self, user: str | None) -> bool:
        """Return whether `user` may know that the repository exists."""
        return not self.private or (user is not None and user in self.readers)

    def _file(self, path: str, content: Content) -> File:
        parts = path.split("/")
        if not path or "" in parts or "." in parts or ".." in parts or "\\" in path:
            raise InputError(f"no hub holds a file of the path {path!r}", subject=path, hint="use a/b/c")
        source = content.encode() if isinstance(content, str) else content
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        sha1, sha256 = hashlib.sha1(b"blob %d\0" % size), hashlib.sha256()
        for block in _blocks(source):
            sha1.update(block)
            sha256.update(block)
        if size < self.lfs_bytes and not path.lower().endswith(LFS_SUFFIXES):
            return File(source, size, sha1.hexdigest(), sha256.hexdigest())
        pointer = _pointer(sha256.hexdigest(), size)
        return File(source, size, _git_name("blob", pointer), sha256.hexdigest(), len(pointer))


def _blocks(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        yield from _read_blocks(file)


def _read_blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _git_name(kind: str, data: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data).hexdigest()


def _commit(files: Mapping[str, File], parent: Commit | None, title: str) -> Commit:
    """Name trees and commit as git does; the author and the clock stand still."""
    folders = _folders(files)
    second = parent.second + 60 if parent else _FIRST_SECOND
    lines = [f"tree {folders['']}", *([f"parent {parent.sha}"] if parent else [])]
    lines += [f"{role} {_AUTHOR} {second} +0000" for role in ("author", "committer")]
    sha = _git_name("commit", ("\n".join(lines) + f"\n\n{title}\n").encode())
    return Commit(sha, parent.sha if parent else None, title, second, files, folders)


def _folders(files: Mapping[str, File]) -> dict[str, str]:
    """Return folder -> git sha1 of its tree, the deepest first."""
    held: dict[str, dict[str, tuple[str, str]]] = {"": {}}
    for path, file in files.items():
        folder, _, name = path.rpartition("/")
        held.setdefault(folder, {})[name] = ("100644", file.oid)
        while folder:
            folder = folder.rpartition("/")[0]
            held.setdefault(folder, {})
    names: dict[str, str] = {}
    for folder in sorted(held, key=lambda folder: (-folder.count("/") - bool(folder), folder)):
        entries = held[folder]
        # git sorts a folder as if its name ended in "/"
        ordered = sorted(entries.items(), key=lambda entry: entry[0] + "/" * (entry[1][0] == "40000"))
        body = b"".join(f"{mode} {name}".encode() + b"\0" + bytes.fromhex(oid) for name, (mode, oid) in ordered)
        names[folder] = _git_name("tree", body)
        if folder:
            above, _, name = folder.rpartition("/")
            held[above][name] = ("40000", names[folder])
    return names
