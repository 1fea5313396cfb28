"""Taking over what other programs have downloaded: their files become objects by a second name, without a copy.

Nothing is asked of a network. The name that a program gave to a file says what it must be (git's sha1, sha256); what
is not that is told and left. Which files a repository has altogether a cache does not say, so such a snapshot is
*partial*: it serves where there is no network, and is completed by the first answer of the hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from forebay.config import user_path
from forebay.errors import InputError, NotFoundError
from forebay.hub.content import Check
from forebay.hub.memory import Memory
from forebay.hub.origin import Listing
from forebay.hub.reference import HubName, Reference, RepositoryType
from forebay.hub.snapshot import CONTENT, FILE, Snapshot, SnapshotFile, file_key, key_of, listed
from forebay.hub.taking import taken
from forebay.io import LocalFilesystem
from forebay.store import Batch, Store
from forebay.types import JSON, Cost, Digest, Entry, ObjectRef

_TYPES: dict[str, RepositoryType] = {"datasets": "dataset", "models": "model", "spaces": "space"}
_PIECE_BYTES = 8 * 2**20
_LFS_BYTES = 10 * 2**20
"""Hubs demand LFS from this size on, and call such files by sha256."""
_WORKERS = 4


@dataclass(slots=True)
class Adopted:
    """What was taken over.

    Attributes:
        snapshots: how many repositories at a commit.
        files: of them, and `bytes` of their content.
        bytes: see `files`.
        copied_bytes: of files that could not be linked: on another file system, or another user's.
        unnamed: files whose name says nothing about their content (an ETag of another kind): taken as they are.
        damaged: those that are not what their name says, with what they are instead.
        skipped: what was left, and why.
    """

    snapshots: int = 0
    files: int = 0
    bytes: int = 0
    copied_bytes: int = 0
    unnamed: list[str] = field(default_factory=list[str])
    damaged: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "snapshots": self.snapshots,
            "files": self.files,
            "bytes": self.bytes,
            "copied_bytes": self.copied_bytes,
            "unnamed": list(self.unnamed),
            "damaged": list(self.damaged),
            "skipped": list(self.skipped),
        }


@dataclass(frozen=True, slots=True)
class _Found:
    """A snapshot in a cache: where its files are (path -> file), and what branches and tags meant it."""

    hub: HubName
    type: RepositoryType
    id: str
    commit: str | None
    revisions: Sequence[str]
    files: dict[str, Path]


@dataclass(frozen=True, slots=True)
class _Checked:
    """A file that is what it should be."""

    file: SnapshotFile
    digest: Digest
    identities: Sequence[str]
    source: Path


def adopt(store: Store, folders: Sequence[Path], *, on_snapshot: Callable[[str], None] | None = None) -> Adopted:
    """Take over what is in caches of huggingface_hub and ModelScope.

    Doing it again takes what is new. A file that was linked is read-only from then on, for both of its names.

    Args:
        store: where to.
        folders: ``~/.cache/huggingface``, its ``hub``, ``~/.cache/modelscope``, or what HF_HOME and the like say.
        on_snapshot: told the name of each snapshot before it is read.

    Raises:
        NotFoundError: no such folder.
        InputError: a folder is no cache that is known.
        StoreReadOnlyError: the store may not be written.
        StoreError: it cannot be kept.
    """
    told = Adopted()
    for folder in folders:
        path = user_path(folder)
        if not path.is_dir():
            raise NotFoundError(f"no folder {path}", subject=path, hint="give ~/.cache/huggingface, say")
        found = list(_snapshots(path.absolute(), told))
        if not found and not told.skipped:
            hint = "known are the caches of huggingface_hub (…/hub/datasets--*) and ModelScope (…/datasets/*--*)"
            raise InputError(f"nothing to take over in {path}", subject=path, hint=hint)
        for one in found:
            if on_snapshot is not None:
                on_snapshot(f"{one.hub}://{one.id}")
            _Adoption(store, one, told).run()
    return told


# Looking


def _snapshots(folder: Path, told: Adopted) -> Iterator[_Found]:
    for root in (folder, folder / "hub"):
        for path in _folders(root):
            kind, _, rest = path.name.partition("--")
            if kind in _TYPES and rest:
                yield from _of_huggingface(path, _TYPES[kind], _id(rest))
            elif path.name in ("datasets", "models"):
                yield from _of_modelscope(path, _TYPES[path.name], told)


def _of_huggingface(root: Path, type: RepositoryType, id: str) -> Iterator[_Found]:  # noqa: A002 - the hubs' own words
    revisions: dict[str, list[str]] = {}
    refs = root / "refs"
    for path in sorted(refs.rglob("*")) if refs.is_dir() else ():
        if path.is_file():
            commit = path.read_text("utf-8", "replace").strip()
            revisions.setdefault(commit, []).append(path.relative_to(refs).as_posix())
    for path in _folders(root / "snapshots"):
        if re.fullmatch(r"[0-9a-f]{40}", path.name):
            yield _Found("hf", type, id, path.name, revisions.get(path.name, []), _files(path))


def _of_modelscope(root: Path, type: RepositoryType, told: Adopted) -> Iterator[_Found]:  # noqa: A002
    for path in _folders(root):
        if "--" in path.name and (path / "snapshots").is_dir():
            for revision in _folders(path / "snapshots"):
                commit = revision.name if re.fullmatch(r"[0-9a-f]{40}", revision.name) else None
                named = [] if commit else [revision.name]
                yield _Found("ms", type, _id(path.name), commit, named, _files(revision))
        elif "___" not in path.name and not (path / "snapshots").is_dir():
            yield from _of_old_modelscope(path, type, told)


def _of_old_modelscope(root: Path, type: RepositoryType, told: Adopted) -> Iterator[_Found]:  # noqa: A002
    """Versions before 1.38: OWNER/NAME, dots as ``___``, of one revision that is not written down."""
    for path in _folders(root):
        marked = (path / ".msc").exists() or (path / ".mv").exists()
        if marked:
            yield _Found("ms", type, f"{root.name}/{path.name.replace('___', '.')}", None, ["master"], _files(path))
        elif any(path.rglob("*.arrow")):
            told.skipped.append(f"{path}: Arrow that ModelScope prepared; fetch the dataset itself")


def _id(name: str) -> str:
    space, mark, rest = name.partition("--")
    return f"{space}/{rest}" if mark else space


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(each for each in path.iterdir() if each.is_dir())
    except OSError:
        return []


def _files(root: Path) -> dict[str, Path]:
    """Return the files of a snapshot; what downloads have left half-done, and ModelScope's own notes, are none."""
    found: dict[str, Path] = {}
    own = (".msc", ".mv", ".mdl", ".lock")
    for base, _, names in os.walk(root):
        for name in names:
            path = Path(base, name)
            if path.is_file() and name not in own and not name.endswith((".incomplete", ".lock")):
                found[path.relative_to(root).as_posix()] = path
    return found


# Taking


class _Adoption:
    """One snapshot taken over."""

    def __init__(self, store: Store, found: _Found, told: Adopted) -> None:
        self._store = store
        self._found = found
        self._told = told
        self._fs = LocalFilesystem()

    def run(self) -> None:
        with ThreadPoolExecutor(_WORKERS) as pool:
            checked = [one for one in pool.map(self._check, *zip(*self._found.files.items(), strict=True)) if one]
        if not checked:
            return
        known = self._known()
        files = {one.file.path: one.file for one in checked}
        if known is not None:
            files |= {file.path: file for file in known.files}  # the hub knows better
        snapshot = self._snapshot(tuple(files.values()), known)
        with self._store.batch() as batch:
            refs = {one.file.path: self._keep(batch, one, snapshot) for one in checked}
        memory = Memory(self._store)
        for revision in (*self._found.revisions, *([snapshot.commit] if len(snapshot.commit) == 40 else [])):
            self._name(memory, snapshot, revision)
        memory.gather(snapshot, {path: ref for path, ref in refs.items() if snapshot.get(path) == files[path]})
        self._told.snapshots += 1
        self._told.files += len(checked)
        self._told.bytes += sum(ref.size for ref in refs.values())

    def _known(self) -> Snapshot | None:
        """Return what the store knows of this commit already."""
        found = self._found
        if found.commit is None:
            return None
        known = Memory(self._store).known(Reference(found.hub, found.type, found.id, found.commit))
        return known.snapshot if known is not None else None

    def _snapshot(self, files: tuple[SnapshotFile, ...], known: Snapshot | None) -> Snapshot:
        if known is not None and not known.partial:
            return known
        found = self._found
        ordered = listed(files, f"{found.hub}://{found.id}")
        commit = found.commit or key_of(*(file.to_json() for file in ordered))
        return Snapshot(found.hub, found.type, found.id, commit, ordered, partial=True)

    def _name(self, memory: Memory, snapshot: Snapshot, revision: str) -> None:
        """Let a revision mean the snapshot, unless a hub was asked for it once."""
        reference = Reference(snapshot.hub, snapshot.type, snapshot.id, revision)
        known = memory.known(reference)
        if known is None or known.snapshot.partial or known.snapshot.key == snapshot.key:
            asked = known.asked if known is not None and known.snapshot.key == snapshot.key else 0.0
            memory.save(reference, Listing(snapshot), asked)

    def _check(self, path: str, source: Path) -> _Checked | None:
        """Hash a file in one pass, and compare it with what its name says."""
        real = source.resolve()
        try:
            before = real.stat()
            named = _identity(real.name) if self._found.hub == "hf" and source.is_symlink() else ""
            kind = named or ("sha256:" if before.st_size > _LFS_BYTES or self._found.hub == "ms" else "git:")
            check = Check(kind, before.st_size)
            view = self._fs.map(real) if before.st_size else memoryview(b"")
            for start in range(0, view.nbytes, _PIECE_BYTES):
                check.update(view[start : start + _PIECE_BYTES])
            after = real.stat()
        except OSError as error:
            self._told.skipped.append(f"{source}: {error.strerror}")
            return None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            self._told.skipped.append(f"{source}: it is being written")
            return None
        found = check.found()
        if named and found != named:
            self._told.damaged.append(f"{source}: it is {found}, its name says {named}")
            return None
        if not named and self._found.hub == "hf":
            self._told.unnamed.append(str(source))
        lfs = found.removeprefix("sha256:") if found.startswith("sha256:") else ""
        file = SnapshotFile(path, before.st_size, found, lfs_sha256=lfs if self._found.hub == "hf" else "")
        identities = list(dict.fromkeys([found, *check.identities()]))
        complete = [each for each in identities if each.partition(":")[2]]
        return _Checked(file, check.digest, complete, real)

    def _keep(self, batch: Batch, one: _Checked, snapshot: Snapshot) -> ObjectRef:
        """Stage a file's object and its entries: one for each of its names."""
        size = one.file.size or 0
        ref = ObjectRef(CONTENT, one.digest, size)
        if not self._linked(batch, ref, one.source):
            ref = batch.put(CONTENT, self._fs.map(one.source) if size else b"")
            self._told.copied_bytes += size
        for identity in one.identities:
            facts: dict[str, JSON] = {"identity": identity, "size": size}
            key = file_key(identity, size)
            cost = Cost(0.0, size)
            batch.add(Entry(FILE, key, (ref,), dict(facts), dict(facts), cost=cost, dataset=snapshot.dataset))
        return ref

    def _linked(self, batch: Batch, ref: ObjectRef, source: Path) -> bool:
        """Give the file a second name in the store, once its bytes are on the disk."""
        try:
            if source.stat().st_uid != os.geteuid():
                return not batch.rely([ref])  # another's file cannot be made read-only
            descriptor = os.open(source, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        return taken(batch, ref, source)


def _identity(name: str) -> str:
    """Return what a blob's name says about its content, or "" where it says nothing."""
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return f"sha256:{name}"
    return f"git:{name}" if re.fullmatch(r"[0-9a-f]{40}", name) else ""
