"""Comparing every byte of a bundle with what it should be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter

from forebay.bundle.archive import Member
from forebay.bundle.checking import Sizes, check_object, read_entry
from forebay.bundle.frames import Coders
from forebay.bundle.manifest import Manifest, PackedEntry, PackedFile, PackedObject
from forebay.bundle.source import PIECE_BYTES, Source, open_source
from forebay.bundle.stream import base_of, open_volumes
from forebay.errors import BundleError
from forebay.events import Event, Hook, What, ignore
from forebay.types import JSON, Digest

_TELL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: with which member, "" for the whole, and what."""

    member: str
    what: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was found.

    Attributes:
        id: BLAKE3 of the MANIFEST.
        manifest: the MANIFEST, which was sound.
        faults: everything that is wrong; none: every byte is as it should be.
        bytes: of the archive.
        seconds: it took.
    """

    id: str
    manifest: Manifest
    faults: tuple[Fault, ...]
    bytes: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    @property
    def damaged(self) -> tuple[Digest, ...]:
        """Digests of the objects that are damaged."""
        bad = {fault.member for fault in self.faults}
        return tuple(each.digest for each in self.manifest.objects if each.member in bad)

    def to_json(self) -> dict[str, JSON]:
        """Return this as a JSON object."""
        return {
            "ok": self.ok,
            "id": self.id,
            "signer": self.manifest.signer,
            "entries": len(self.manifest.entries),
            "objects": len(self.manifest.objects),
            "bytes": self.bytes,
            "seconds": self.seconds,
            "damaged": list(self.damaged),
            "faults": [{"member": fault.member, "what": fault.what} for fault in self.faults],
        }


def verify(path: Path, hook: Hook = ignore) -> VerifyReport:
    """Compare every byte of a bundle with what it should be; go on after what is wrong.

    Args:
        path: as for `open_source`.
        hook: told of progress.

    Raises:
        BundleError: its MANIFEST or signature is damaged, so that nothing can be said of the rest.
        NotFoundError: it is not there.
    """
    began = perf_counter()
    with ExitStack() as stack:
        source = stack.enter_context(open_source(path))
        coders = stack.enter_context(Coders())
        faults = list(_faults(source, coders, hook))
        faults += [Fault("", what) for what in _wrong_volumes(path)] if source.volumes else []
    return VerifyReport(source.id, source.manifest, tuple(faults), source.total, perf_counter() - began)


def first_fault(source: Source, coders: Coders) -> Fault | None:
    """Return the first thing that is wrong with an open bundle, or None."""
    return next(_faults(source, coders, ignore), None)


def _faults(source: Source, coders: Coders, hook: Hook) -> Iterator[Fault]:
    sizes = Sizes(source.manifest)
    told = monotonic()
    sound = True
    try:
        source.check_end()
    except BundleError as error:
        sound = False
        yield Fault("", error.what)
    for member in source.members:
        try:
            _check(source, member, sizes, coders)
        except BundleError as error:
            sound = False
            yield Fault(member.name, error.what)
        if monotonic() - told > _TELL_SECONDS:
            told = monotonic()
            facts = {"phase": "bundle", "done": member.end, "total": source.total}
            hook(Event(What.PROGRESS, "checking", bytes=member.end, facts=facts))
    try:
        if sound:  # an entry that is damaged would have named more
            sizes.check_all_named()
    except BundleError as error:
        yield Fault("", error.what)


def _check(source: Source, member: Member, sizes: Sizes, coders: Coders) -> None:
    match member.what:
        case PackedFile():
            source.content(member)
        case PackedEntry():
            read_entry(source, member, sizes)
        case PackedObject():
            check_object(source, member, coders)
        case None:
            pass  # the MANIFEST and its signature were checked when it was opened


def _wrong_volumes(path: Path) -> Iterator[str]:
    from blake3 import blake3

    base = base_of(path)
    assert base is not None
    stream, told = open_volumes(base)
    with stream:
        offset = 0
        for number, volume in enumerate(told.volumes):
            hasher, end = blake3(max_threads=4), offset + volume.size
            while offset < end and (piece := stream.read(offset, min(end - offset, PIECE_BYTES))):
                hasher.update(piece)
                offset += len(piece)
            if hasher.hexdigest() != volume.blake3:
                yield f"volume {number:03d} is damaged"
