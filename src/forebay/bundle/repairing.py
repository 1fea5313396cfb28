"""Mending a damaged bundle from a sound one, from a store, or from the few objects that were asked for.

Every byte of an archive but the members' content follows from the MANIFEST, and the BLAKE3 of each content is in it. So
whatever has the right bytes may give them, and only what is damaged is written. Headers, padding, the end, README.txt,
the scripts and FILES.tsv need nobody: they are made anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from blake3 import blake3

from forebay.bundle import archive, signing
from forebay.bundle.archive import BLOCK, Member
from forebay.bundle.closures import Closure
from forebay.bundle.creating import packed_entry
from forebay.bundle.frames import Coders
from forebay.bundle.manifest import Manifest, PackedEntry, PackedFile, PackedObject, parse
from forebay.bundle.source import PIECE_BYTES, Source, open_source
from forebay.bundle.stream import base_of, read_list, volume_path
from forebay.bundle.unaided import unaided_files
from forebay.bundle.verifying import verify
from forebay.errors import BundleError, InputError, StoreError, StoreFullError
from forebay.store import entry as entry_files
from forebay.types import Buffer, Digest, Entry, Key, is_hex64

if TYPE_CHECKING:
    from forebay.store import Store

THE_END = "the end"
"""What a report calls the two blocks of zeros with which an archive ends."""
_MOST_ASKED_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was mended.

    Attributes:
        mended: names of the members that were.
        missing: digests of the objects that nobody had.
        lost: names of the other members that nobody had; no such and no missing one: the bundle is sound now.
        bytes: that were written.
    """

    mended: tuple[str, ...]
    missing: tuple[Digest, ...]
    lost: tuple[str, ...]
    bytes: int


def wanted(path: Path) -> Mapping[Digest, int]:
    """Return the digest and decoded size of every object of a bundle that is damaged: what to ask for."""
    report = verify(path)
    bad = set(report.damaged)
    return {each.digest: each.size for each in report.manifest.objects if each.digest in bad}


def write_request(path: Path, objects: Mapping[Digest, int]) -> None:
    """Write down what is asked for, for `forebay bundle create --wanted`."""
    text = json.dumps({"format": 1, "wanted": objects}, sort_keys=True, indent=1)
    path.write_text(text + "\n", "utf-8")


def read_request(path: Path) -> Mapping[Digest, int]:
    """Return what is asked for.

    Raises:
        InputError: it is no request.
    """
    try:
        if path.stat().st_size > _MOST_ASKED_BYTES:
            raise ValueError("it is too large")
        told = cast("dict[str, Any]", json.loads(path.read_text("utf-8")))["wanted"]
        found = {Digest(digest): size for digest, size in told.items() if is_hex64(digest) and type(size) is int}
        if len(found) != len(told):
            raise ValueError("it names what is no object")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is no request of `bundle repair`: {error}", subject=path) from error
    return found


def repair(path: Path, donors: Sequence[Path], store: Store | None = None) -> RepairReport:
    """Mend an archive in place.

    Args:
        path: of the archive, or of its volumes.
        donors: bundles that may have what is damaged: the same one, one of other entries, or one of objects alone.
        store: that may have it.

    Raises:
        BundleError: its MANIFEST is damaged, and none of the donors is the same bundle.
        StoreError: it cannot be written.
    """
    if path.is_dir():
        raise BundleError(f"{path} is a folder", subject=path, hint="unpack the archive again, or install from it")
    with ExitStack() as stack:
        givers = [stack.enter_context(open_source(donor)) for donor in donors]
        target = stack.enter_context(_Target(path))
        manifest_bytes = _manifest_of(target, givers)
        manifest = parse(manifest_bytes)
        coders = stack.enter_context(Coders(manifest.level))
        helpers = _Helpers(target, manifest, manifest_bytes, givers, store, coders)
        members = list(archive.members(manifest, len(manifest_bytes)))
        mended: list[str] = []
        left: list[Member] = []
        # The files beside entries come last: one of them is made of the entries.
        for member in sorted(members, key=lambda each: isinstance(each.what, PackedFile)):
            if target.is_sound(member, manifest_bytes):
                continue
            if target.put_frame(member) or any(target.put(member, pieces) for pieces in helpers.given(member)):
                mended.append(member.name)
            else:
                left.append(member)
        # Without a giver a file that is not yet whole keeps its size: it may grow on.
        if (givers or store is not None or not left) and target.put_end(members[-1].end):
            mended.append(THE_END)
    missing = tuple(each.what.digest for each in left if isinstance(each.what, PackedObject))
    lost = tuple(each.name for each in left if not isinstance(each.what, PackedObject))
    return RepairReport(tuple(mended), missing, lost, target.written)


def _manifest_of(target: _Target, givers: Sequence[Source]) -> bytes:
    """Return the MANIFEST of what is to be mended: its own, else the one that a donor has."""
    try:
        size = archive.manifest_size(target.read(0, BLOCK))
        data = target.read(BLOCK, size)
        parse(data)
    except BundleError:
        ids = target.manifest_id
        same = next((giver for giver in givers if ids in (None, giver.id)), None)
        if same is None:
            raise
        return same.manifest_bytes
    return data


@dataclass(frozen=True, slots=True)
class _Helpers:
    """Everyone who may have the content of a damaged member."""

    target: _Target
    manifest: Manifest
    manifest_bytes: bytes
    givers: Sequence[Source]
    store: Store | None
    coders: Coders

    def given(self, member: Member) -> Iterator[Iterator[Buffer]]:
        """Yield what may be the right content of a member, from everyone who has it."""
        what = member.what
        if member.name == archive.MANIFEST:
            yield iter([self.manifest_bytes])
        if isinstance(what, PackedFile):
            made = unaided_files(self._closure()).get(what.name, b"")
            if blake3(made).hexdigest() == what.blake3:
                yield iter([made])
        for giver in self.givers:
            for theirs in giver.members[1:]:
                same = theirs.what == what if what else giver.manifest_bytes == self.manifest_bytes
                if theirs.name == member.name and same:
                    yield giver.pieces(theirs)
        if isinstance(what, PackedEntry) and (entry := self._stored(what.kind, what.key)) is not None:
            yield iter([packed_entry(entry)[1]])
        if self.store is not None and isinstance(what, PackedObject) and self.store.has(what.digest):
            for _, _, pieces in self.coders.packed([(what, what.size, partial(self.store.read, what.digest))]):
                yield pieces

    def _stored(self, kind: str, key: Key) -> Entry | None:
        return None if self.store is None else self.store.get(kind, key)

    def _closure(self) -> Closure:
        """Return what the bundle is of, so far as that can be read; without roots if an entry cannot."""
        found = [self._read(member) for member in archive.members(self.manifest, len(self.manifest_bytes))
                 if isinstance(member.what, PackedEntry)]  # fmt: skip
        found += [self._stored(kind, key) for kind, key, _ in self.manifest.needs.entries]
        entries = tuple(entry for entry in found if entry is not None)
        roots = self.manifest.roots if len(entries) == len(found) else ()
        return Closure(roots, entries, {}, self.manifest.names)

    def _read(self, member: Member) -> Entry | None:
        if not self.target.is_sound(member, self.manifest_bytes):
            return None
        try:
            return entry_files.decode(self.target.read(member.content, member.size))
        except StoreError:  # it is as the MANIFEST says, and yet no entry: `verify` tells
            return None


class _Target:
    """An archive that is being mended: its file, or its volumes with the sizes that their list says."""

    def __init__(self, path: Path) -> None:
        base = base_of(path)
        self.manifest_id: str | None = None
        self._sizes: list[int] | None = None
        self._paths = [path.resolve()]
        if base is not None:
            told = read_list(base)
            self.manifest_id = told.manifest
            self._sizes = [volume.size for volume in told.volumes]
            self._paths = [volume_path(base, number) for number in range(len(told.volumes))]
        self._files: list[int] = []
        self.written = 0

    def __enter__(self) -> _Target:
        for path in self._paths:
            try:
                self._files.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
            except OSError as error:
                self.__exit__()
                raise StoreError(f"cannot write {path}: {error.strerror}", subject=path) from error
        return self

    def __exit__(self, *_: object) -> None:
        while self._files:
            os.close(self._files.pop())

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes, fewer at the end."""
        return b"".join(os.pread(file, count, at) for file, at, count in self._spans(offset, size))

    def is_sound(self, member: Member, manifest_bytes: bytes) -> bool:
        """Tell whether a member is as it should be."""
        if self.read(member.offset, BLOCK) != member.header:
            return False
        rest = member.end - member.content - member.size
        if self.read(member.content + member.size, rest) != bytes(rest):
            return False
        if member.what is not None:
            return self._has_content(member, member.what.blake3)
        content = self.read(member.content, member.size)
        if member.name == archive.MANIFEST:
            return content == manifest_bytes
        try:
            signing.check(manifest_bytes, content, parse(manifest_bytes).signer or "")
        except BundleError:
            return False
        return True

    def put_frame(self, member: Member) -> bool:
        """Write what stands around the content of a member; tell whether the content is what it should be."""
        if member.what is None or not self._has_content(member, member.what.blake3):
            return False
        self._write(member.offset, member.header)
        self._write(member.content + member.size, bytes(member.end - member.content - member.size))
        return True

    def put(self, member: Member, pieces: Iterator[Buffer]) -> bool:
        """Write a member; tell whether it is what it should be."""
        hasher, at = blake3(), member.content
        self._write(member.offset, member.header)
        try:
            for piece in pieces:
                hasher.update(piece)
                if at + len(piece) > member.content + member.size:
                    return False
                self._write(at, piece)
                at += len(piece)
        except (BundleError, StoreError):  # damaged there too
            return False
        self._write(at, bytes(member.end - at))
        return member.what is None or hasher.hexdigest() == member.what.blake3

    def put_end(self, end: int) -> bool:
        """Let it end as it should, and make it durable; tell whether it ended otherwise."""
        sizes = self._sizes or [end + len(archive.END)]
        wrong = self.read(end, len(archive.END)) != archive.END
        wrong = wrong or [os.fstat(file).st_size for file in self._files] != sizes
        if wrong:
            self._write(end, archive.END)
        for file, size in zip(self._files, sizes, strict=True):
            os.ftruncate(file, size)
            os.fsync(file)
        return wrong

    def _has_content(self, member: Member, check: str) -> bool:
        hasher = blake3(max_threads=4)
        for at in range(0, member.size, PIECE_BYTES):
            hasher.update(self.read(member.content + at, min(PIECE_BYTES, member.size - at)))
        return hasher.hexdigest() == check

    def _write(self, offset: int, data: Buffer) -> None:
        view, done = memoryview(data), 0
        for file, at, count in self._spans(offset, len(view)):
            try:
                written = os.pwrite(file, view[done : done + count], at)
            except OSError as error:
                raise StoreError(f"cannot write {self._paths[0]}: {error.strerror}", subject=self._paths[0]) from error
            if written != count:
                raise StoreFullError(f"no room to write {self._paths[0]}", subject=self._paths[0])
            done += count
        self.written += done

    def _spans(self, offset: int, size: int) -> Iterator[tuple[int, int, int]]:
        """Yield (file, offset in it, bytes) of a stretch."""
        if self._sizes is None:
            yield self._files[0], offset, size
            return
        start = 0
        for file, length in zip(self._files, self._sizes, strict=True):
            at, count = max(offset - start, 0), min(offset + size, start + length) - max(offset, start)
            if count > 0:
                yield file, at, count
            start += length
