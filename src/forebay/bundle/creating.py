"""Writing bundles: in order, in constant memory, resumable, and the same bytes for the same content.

The MANIFEST stands first but is known last, as packed sizes are. So its room is reserved: all but the digits of packed
sizes is known from the start, and what they do not fill is spaces.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, cast

from blake3 import blake3

from forebay import text
from forebay.bundle import archive
from forebay.bundle.archive import BLOCK, Member
from forebay.bundle.checking import is_fit
from forebay.bundle.frames import Coders, library
from forebay.bundle.manifest import (
    FILES,
    LOCK,
    Manifest,
    Needs,
    Pack,
    PackedEntry,
    PackedFile,
    PackedObject,
    longest,
    manifest_id,
    most_packed,
)  # fmt: skip
from forebay.bundle.output import Output
from forebay.bundle.signing import Signer
from forebay.bundle.unaided import unaided_files
from forebay.errors import InputError, ObjectDamagedError
from forebay.events import Event, Hook, What, ignore
from forebay.store import entry as entry_files
from forebay.types import Buffer, Digest, Entry, Key, is_hex64

if TYPE_CHECKING:
    from forebay.bundle.closures import Closure
    from forebay.store import Store

_TELL_SECONDS = 0.2
_GATHER_BYTES = 4 * 2**20
"""Objects up to this size are packed whole before they are written: their header can then be written first."""


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """How a bundle is written.

    Attributes:
        level: of zstd, 1 to 19.
        volume_bytes: cut the archive into volumes of so many bytes; None: one file.
        since: id and content of an earlier manifest: what it has is left out.
        sign: file of the private key to sign with.
        lock: content of a ``forebay.lock`` to take along.
        threads: that pack; None: as many as there are processors. The bytes do not depend on it.
        replace: whether a bundle of that name may be replaced.
    """

    level: int = 1
    volume_bytes: int | None = None
    since: tuple[str, Manifest] | None = None
    sign: Path | None = None
    lock: bytes | None = None
    threads: int | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True)
class CreateReport:
    """What was written.

    Attributes:
        manifest: what is in it.
        id: BLAKE3 of the MANIFEST.
        paths: the file, or the volumes and their list.
        bytes: of the archive.
        resumed: number of objects that an earlier attempt had written.
        seconds: it took.
    """

    manifest: Manifest
    id: str
    paths: tuple[Path, ...]
    bytes: int
    resumed: int
    seconds: float


def create(
    store: Store, wanted: Closure, out: Path, options: CreateOptions | None = None, hook: Hook = ignore
) -> CreateReport:
    """Write a closure as a bundle. What an earlier attempt at the same left is gone on with.

    Args:
        store: that the closure is of.
        wanted: what goes into it.
        out: path of the archive; volumes have ``.000`` … behind it.
        options: how.
        hook: told of progress.

    Raises:
        InputError: `out` is there already, an option is wrong, or a file's path is none that a bundle can have.
        StoreError: an object cannot be read, or the archive cannot be written.
    """
    began = perf_counter()
    options = options or CreateOptions()
    if not 1 <= options.level <= 19:
        raise InputError(f"no level of zstd: {options.level}", subject=options.level, hint="give 1 to 19")
    if options.volume_bytes is not None and options.volume_bytes < BLOCK:
        raise InputError(f"volumes of {text.size(options.volume_bytes)} are too small", hint="give 1MB or more")
    if out.is_dir():
        raise InputError(f"{out} is a folder", subject=out, hint=f"name the archive: {out / 'data.tar'}")
    _refuse_unfit(wanted)
    with ExitStack() as stack:
        stack.enter_context(store.reading([(entry.kind, entry.key) for entry in wanted.entries]))
        if store.writable:
            lease = store.lease(Key(blake3(b"forebay.bundle.out/" + os.fsencode(out.absolute())).hexdigest()))
            if lease is None:
                raise InputError(f"somebody writes {out} now", subject=out, hint="wait, or choose another name")
            stack.enter_context(lease)
        output = Output(out, options.volume_bytes, replace=options.replace)
        stack.callback(output.close)
        writer = _Writer(store, wanted, output, options, hook)
        manifest, data = writer.write()
        size = output.size
        paths = output.finish(manifest_id(data))
    return CreateReport(manifest, manifest_id(data), tuple(paths), size, writer.resumed, perf_counter() - began)


def _refuse_unfit(wanted: Closure) -> None:
    """See that nothing goes into a bundle for which the other side would refuse all of it."""
    for entry in wanted.entries:
        role = next((ref.role for ref in entry.objects if not is_fit(ref.role)), None)
        if role is not None:
            what = (
                f"no bundle takes {role.removeprefix('file:')!r} of {entry.dataset}: its path has a control character"
            )
            hint = "rename the file, or fetch the others alone into another store (--exclude)"
            raise InputError(f"{what} or a backslash", subject=role, hint=hint)


def packed_entry(entry: Entry) -> tuple[PackedEntry, bytes]:
    """Return an entry as a bundle has it: without the time at which it was made, and not recoverable."""
    data = entry_files.encode(replace(entry, created=0.0, recoverable=False))
    return PackedEntry(entry.kind, entry.key, len(data), blake3(data).hexdigest()), data


class _Writer:
    """Writes one bundle."""

    def __init__(self, store: Store, wanted: Closure, output: Output, options: CreateOptions, hook: Hook) -> None:
        self._store = store
        self._output = output
        self._options = options
        self._hook = hook
        self._signer = Signer(options.sign) if options.sign is not None else None
        self._files = dict(unaided_files(wanted))
        if options.lock is not None:
            self._files[LOCK] = options.lock
        self._entries = {(entry.kind, entry.key): entry for entry in wanted.entries}
        self._draft = self._drafted(wanted)
        self._manifest_size = longest(self._draft)
        self._told = monotonic()
        self.resumed = 0

    def write(self) -> tuple[Manifest, bytes]:
        """Write everything; return the MANIFEST and its bytes."""
        done = self._resume()
        self._write_head()
        objects: list[PackedObject] = []
        total, so_far = self._draft.bytes, 0
        path, told = self._output.log_path, self._output.told
        with told(lambda: path.open("ab", buffering=0)) as log:
            for packed in self._each_object(done):
                objects.append(packed)
                if len(objects) > len(done):
                    # Written first and noted then: what is noted and not there is found when it is read back.
                    line = [packed.digest, packed.pack, packed.packed, packed.blake3]
                    noted = json.dumps(line, separators=(",", ":")) + "\n"
                    told(lambda noted=noted: log.write(noted.encode("ascii")))
                so_far += packed.size
                self._tell(so_far, total)
        self._output.write(archive.END)
        manifest = replace(self._draft, objects=tuple(objects))
        data = manifest.encode(self._manifest_size)
        self._output.overwrite(0, archive.header(archive.MANIFEST, len(data)) + data)
        if self._signer is not None:
            self._output.overwrite(Member(archive.MANIFEST, len(data), 0).end + BLOCK, self._signer.sign(data))
        return manifest, data

    def _drafted(self, wanted: Closure) -> Manifest:
        """Return the MANIFEST with the objects as if nothing could be packed."""
        entries = [packed_entry(entry)[0] for entry in wanted.entries]
        objects = dict(wanted.objects)
        needs, since = Needs(), None
        if self._options.since is not None:
            since, earlier = self._options.since
            there = {(each.kind, each.key, each.blake3) for each in earlier.entries} | set(earlier.needs.entries)
            old = {each.digest for each in earlier.objects} | {digest for digest, _ in earlier.needs.objects}
            told = [(each.kind, each.key, each.blake3) for each in entries]
            needs = Needs(
                tuple(each for each in told if each in there),
                tuple((digest, size) for digest, size in objects.items() if digest in old),
            )
            entries = [each for each, known in zip(entries, told, strict=True) if known not in there]
            objects = {digest: size for digest, size in objects.items() if digest not in old}
        return Manifest(
            entries=tuple(entries),
            objects=tuple(PackedObject(digest, size, "none", size, digest) for digest, size in objects.items()),
            files=tuple(
                PackedFile(name, len(self._files[name]), blake3(self._files[name]).hexdigest())
                for name in FILES
                if name in self._files
            ),
            names=wanted.names,
            roots=wanted.roots,
            needs=needs,
            since=since,
            signer=None if self._signer is None else self._signer.public,
            level=self._options.level,
            library=library(),
        )

    @property
    def _head(self) -> list[Member]:
        """The members before the objects."""
        every = archive.members(replace(self._draft, objects=()), self._manifest_size)
        return list(every)

    def _write_head(self) -> None:
        """Write the members before the objects, or over them; the MANIFEST and its signature come last."""
        known = self._output.size
        for member in self._head:
            what = member.what
            if isinstance(what, PackedFile):
                content = self._files[what.name]
            elif isinstance(what, PackedEntry):
                content = packed_entry(self._entries[what.kind, what.key])[1]
            else:
                content = b" " * member.size
            block = member.header + content + bytes(member.end - member.content - member.size)
            if member.end <= known:
                self._output.overwrite(member.offset, block)
            else:
                self._output.write(block)

    def _resume(self) -> list[PackedObject]:
        """Return the objects that an earlier attempt wrote, as they are found to be; drop what comes after."""
        plan = blake3(self._draft.encode()).hexdigest()
        start = self._head[-1].end
        done: list[PackedObject] = []
        end = start
        for packed in _noted(self._output.log_path, plan, self._draft.objects):
            member = Member(packed.member, packed.packed, end, packed)
            if member.end > self._output.size or not self._is_there(member):
                break
            done.append(packed)
            end = member.end
        self._output.truncate(end if done else 0)
        lines = [json.dumps({"plan": plan})]
        lines += [json.dumps([one.digest, one.pack, one.packed, one.blake3], separators=(",", ":")) for one in done]
        self._output.told(lambda: self._output.log_path.write_text("\n".join(lines) + "\n", encoding="ascii"))
        self.resumed = len(done)
        return done

    def _is_there(self, member: Member) -> bool:
        assert member.what is not None
        if self._output.read(member.offset, BLOCK) != member.header:
            return False
        hasher, at, left = blake3(max_threads=4), member.content, member.size
        while left and (piece := self._output.read(at, min(left, 8 * 2**20))):
            hasher.update(piece)
            at, left = at + len(piece), left - len(piece)
        rest = member.end - at
        return hasher.hexdigest() == member.what.blake3 and self._output.read(at, rest) == bytes(rest)

    def _each_object(self, done: Iterable[PackedObject]) -> Iterator[PackedObject]:
        """Yield the objects that are written, then write the others and yield each."""
        before = list(done)
        yield from before
        left = self._draft.objects[len(before) :]
        jobs = ((each, each.size, partial(self._store.read, each.digest)) for each in left)
        with Coders(self._options.level, self._options.threads) as coders:
            for draft, pack, pieces in coders.packed(jobs):
                yield self._write_object(draft, pack, pieces)

    def _write_object(self, draft: PackedObject, pack: Pack, pieces: Iterator[Buffer]) -> PackedObject:
        if pack == "none":
            self._output.write(draft_header(draft))
            check = self._store.settings.verify == "size"  # else the store has just compared it with its name
            hasher = blake3(max_threads=4) if check else None
            for piece in pieces:
                if hasher is not None:
                    hasher.update(piece)
                self._output.write(piece)
            if hasher is not None and hasher.hexdigest() != draft.digest:
                what = f"object {draft.digest[:12]} in {self._store.home} is damaged"
                raise ObjectDamagedError(what, subject=draft.digest, hint="forebay verify")
            self._output.write(bytes(archive.padded(draft.size) - draft.size))
            return draft
        return self._write_packed(draft, pieces)

    def _write_packed(self, draft: PackedObject, pieces: Iterator[Buffer]) -> PackedObject:
        begin = self._output.size
        known = draft.size <= _GATHER_BYTES
        if known:
            gathered = list(pieces)
            pieces = iter(gathered)
            self._output.write(archive.header(f"{draft.member}.zst", sum(len(piece) for piece in gathered)))
        else:
            self._output.write(bytes(BLOCK))
        hasher, size = blake3(), 0
        for piece in pieces:
            hasher.update(piece)
            size += len(piece)
            self._output.write(piece)
        assert size <= most_packed(draft.size)
        packed = PackedObject(draft.digest, draft.size, "zstd", size, hasher.hexdigest())
        self._output.write(bytes(archive.padded(size) - size))
        if not known:
            self._output.overwrite(begin, draft_header(packed))
        return packed

    def _tell(self, done: int, total: int) -> None:
        if monotonic() - self._told > _TELL_SECONDS:
            self._told = monotonic()
            facts: Mapping[str, int | str] = {"phase": "bundle", "done": done, "total": total}
            self._hook(Event(What.PROGRESS, "packing", bytes=done, facts=facts))


def draft_header(packed: PackedObject) -> bytes:
    """Return the header of an object's member."""
    return archive.header(packed.member, packed.packed)


def _noted(path: Path, plan: str, expected: tuple[PackedObject, ...]) -> Iterator[PackedObject]:
    """Yield the objects that a log notes as written, if it is of this plan; a torn last line is none."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        if not lines or json.loads(lines[0]) != {"plan": plan}:
            return
        for line, draft in zip(lines[1:], expected, strict=False):
            digest, pack, packed, check = cast("list[Any]", json.loads(line))
            if digest != draft.digest or pack not in ("none", "zstd") or type(packed) is not int or not is_hex64(check):
                return
            yield PackedObject(Digest(digest), draft.size, pack, packed, check)
    except (OSError, ValueError, TypeError):  # none, or cut within a line
        return
