"""Mending a damaged bundle from a sound one, from a store, or from the few objects that were asked for.

Every byte of an archive but the members' content follows from the MANIFEST, and the BLAKE3 of each content is in it. So
whatever has the right bytes may give them, and only what is damaged is written.
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
from forebay.bundle.creating import packed_entry
from forebay.bundle.frames import Coders
from forebay.bundle.manifest import PackedEntry, PackedObject, parse
from forebay.bundle.source import PIECE_BYTES, Source, open_source
from forebay.bundle.stream import base_of, read_list, volume_path
from forebay.bundle.verifying import verify
from forebay.errors import BundleError, InputError, StoreError, StoreFullError
from forebay.types import Buffer, Digest, is_hex64

if TYPE_CHECKING:
    from forebay.store import Store

_MOST_ASKED_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was mended.

    Attributes:
        mended: names of the members that were.
        missing: digests of the objects that nobody had; none: the bundle is sound now.
        bytes: that were written.
    """

    mended: tuple[str, ...]
    missing: tuple[Digest, ...]
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
        BundleError: its MANIFEST is damaged and no donor is given, or only the same bundle could mend it.
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
        mended: list[str] = []
        missing: list[Digest] = []
        end = 0
        for member in archive.members(manifest, len(manifest_bytes)):
            end = member.end
            if target.is_sound(member, manifest_bytes):
                continue
            if any(target.put(member, pieces) for pieces in _given(member, manifest_bytes, givers, store, coders)):
                mended.append(member.name)
            elif isinstance(member.what, PackedObject):
                missing.append(member.what.digest)
            else:
                raise BundleError(f"{path}: {member.name} is damaged", subject=path, hint="only the same bundle has it")
        target.put_end(end)
    return RepairReport(tuple(mended), tuple(missing), target.written)


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


def _given(
    member: Member, manifest_bytes: bytes, givers: Sequence[Source], store: Store | None, coders: Coders
) -> Iterator[Iterator[Buffer]]:
    """Yield what may be the right content of a member, from everyone who has it."""
    if member.name == archive.MANIFEST:
        yield iter([manifest_bytes])
    for giver in givers:
        for theirs in giver.members[1:]:
            same = theirs.what == member.what if member.what else giver.manifest_bytes == manifest_bytes
            if theirs.name == member.name and same:
                yield giver.pieces(theirs)
    if store is not None and isinstance(member.what, PackedEntry):
        entry = store.get(member.what.kind, member.what.key)
        if entry is not None:
            yield iter([packed_entry(entry)[1]])
    if store is not None and isinstance(member.what, PackedObject) and store.has(member.what.digest):
        what = member.what
        for _, _, pieces in coders.packed([(what, what.size, partial(store.read, what.digest))]):
            yield pieces


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
            hasher = blake3(max_threads=4)
            for at in range(0, member.size, PIECE_BYTES):
                hasher.update(self.read(member.content + at, min(PIECE_BYTES, member.size - at)))
            return hasher.hexdigest() == member.what.blake3
        content = self.read(member.content, member.size)
        if member.name == archive.MANIFEST:
            return content == manifest_bytes
        try:
            signing.check(manifest_bytes, content, parse(manifest_bytes).signer or "")
        except BundleError:
            return False
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

    def put_end(self, end: int) -> None:
        """Let it end as it should, and make it durable."""
        if self.read(end, len(archive.END)) != archive.END:
            self._write(end, archive.END)
        sizes = self._sizes or [end + len(archive.END)]
        for file, size in zip(self._files, sizes, strict=True):
            os.ftruncate(file, size)
            os.fsync(file)

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
