"""What a bundle's members must be: each entry and object is looked at in full before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from blake3 import blake3

from forebay.bundle.archive import Member
from forebay.bundle.frames import Coders, unpack
from forebay.bundle.manifest import FRAME_BYTES, Manifest, PackedEntry, PackedObject
from forebay.bundle.source import Source, joined
from forebay.errors import BundleError, ObjectDamagedError, StoreError
from forebay.store import entry as entry_files
from forebay.types import Buffer, Digest, Entry, is_hex64

WHOLE_BYTES = 16 * 2**20
"""Objects up to this size, packed and unpacked, are handled in one piece."""

_UNFIT_PATH = re.compile(r"[\x00-\x1f\\]|(^|/)(\.\.?)?(/|$)")
_MOST_NEEDED = 3


def is_fit(role: str) -> bool:
    """Tell whether an object of this role may be in a bundle: a file's path may not lead elsewhere, nor end a line."""
    return not (role.startswith("file:") and _UNFIT_PATH.search(role[len("file:") :]))


class Sizes:
    """The decoded size of every object that a bundle's entries may name."""

    def __init__(self, manifest: Manifest) -> None:
        self._sizes: dict[str, int] = {each.digest: each.size for each in manifest.objects}
        self._sizes.update(manifest.needs.objects)
        self._unnamed = {each.digest for each in manifest.objects}
        self._packed = bool(manifest.entries)

    def check(self, entry: Entry) -> None:
        """See that an entry names only objects that are there, with their sizes.

        Raises:
            BundleError: it does not.
        """
        for ref in entry.objects:
            if self._sizes.get(ref.digest) != ref.size:
                raise BundleError(f"names object {ref.digest[:12]}, which the MANIFEST has not, or of another size")
            self._unnamed.discard(ref.digest)

    def check_all_named(self) -> None:
        """See that every object is named by an entry, unless there are no entries at all.

        Raises:
            BundleError: one is not.
        """
        if self._unnamed and self._packed:
            raise BundleError(f"its object {min(self._unnamed)[:12]} belongs to no entry")


def read_entry(source: Source, member: Member, sizes: Sizes) -> Entry:
    """Return the entry that a member is.

    Raises:
        BundleError: it is none, or not the one that the MANIFEST says.
    """
    packed = member.what
    assert isinstance(packed, PackedEntry)
    data = bytes(source.content(member))
    try:
        entry = entry_files.decode(data)
        _check_types(entry)
        if entry_files.encode(entry) != data or (entry.kind, entry.key) != (packed.kind, packed.key):
            raise BundleError("is another entry, or not written in the canonical way")
        if entry.recoverable or entry.created:
            raise BundleError("is not as a bundle has entries: it has a time, or an origin")
        sizes.check(entry)
    except (ObjectDamagedError, StoreError) as error:
        raise source.refused(member, f"is no entry: {error.what}") from error
    except BundleError as error:
        raise source.refused(member, error.what) from error
    except (RecursionError, AttributeError, TypeError) as error:
        raise source.refused(member, "is no entry") from error
    return entry


def _check_types(entry: Entry) -> None:
    named: set[tuple[str, str]] = set()
    for ref in entry.objects:
        sound = isinstance(ref.role, str) and is_hex64(ref.digest) and ref.size >= 0
        if not sound or not is_fit(ref.role):
            raise BundleError(f"names an object in a way that none is: {str(ref.role)[:100]!r}")
        # a path is one file; other roles say of what sort an object is: a table has a `base` for each shard
        name = (ref.role, "" if ref.role.startswith("file:") else ref.digest)
        if name in named:
            raise BundleError(f"names an object twice: {ref.role[:100]!r}")
        named.add(name)
    texts: tuple[Collection[object], ...] = (entry.inputs, entry.versions.values(), (entry.dataset,))
    if not all(isinstance(text, str) for some in texts for text in some) or not all(map(is_hex64, entry.inputs)):
        raise BundleError("has fields of other types than entries have")
    if not isinstance(entry.meta, Mapping) or not isinstance(entry.parts, Mapping):
        raise BundleError("has fields of other types than entries have")


def read_small(source: Source, member: Member) -> Buffer:
    """Return the decoded bytes of an object of `WHOLE_BYTES` at most. Whether they are its own remains to be seen.

    Raises:
        BundleError: they cannot be.
    """
    packed = member.what
    assert isinstance(packed, PackedObject)
    if packed.pack == "none":
        return joined(source.pieces(member), member.size)
    whole = bytearray(packed.size)
    for _ in _unpacked(source, member, memoryview(whole)):
        pass
    return whole


def read_large(source: Source, member: Member, coders: Coders) -> Iterator[Buffer]:
    """Yield the decoded bytes of an object; when it is through, they were what the MANIFEST says.

    Raises:
        BundleError: they are not.
    """
    packed = member.what
    assert isinstance(packed, PackedObject)
    if packed.pack == "none":
        yield from source.checked(member)
        return
    hasher = blake3()
    try:
        for piece in coders.unpacked((bytes(piece) for piece in source.checked(member)), packed.size):
            hasher.update(piece)
            yield piece
    except BundleError as error:
        raise error if error.subject == member.name else source.refused(member, error.what) from error
    if hasher.hexdigest() != packed.digest:
        raise wrong_bytes(source, member)


def is_small(packed: PackedObject) -> bool:
    """Tell whether an object is handled in one piece."""
    return packed.size <= WHOLE_BYTES and packed.packed <= WHOLE_BYTES + FRAME_BYTES


def check_small(source: Source, member: Member) -> None:
    """Look at an object of `WHOLE_BYTES` at most in full.

    Raises:
        BundleError: it is not what the MANIFEST says.
    """
    packed = member.what
    assert isinstance(packed, PackedObject)
    if packed.pack == "none":
        for _ in source.checked(member):
            pass
        return
    hasher = blake3()
    for piece in _unpacked(source, member, source.scratch.room("frame", FRAME_BYTES)):
        hasher.update(piece)
    if hasher.hexdigest() != packed.digest:
        raise wrong_bytes(source, member)


def _unpacked(source: Source, member: Member, room: memoryview) -> Iterator[memoryview]:
    """Yield the decoded frames of a small object; `room` as for `unpack`."""
    packed = member.what
    assert isinstance(packed, PackedObject)
    data = source.content(member, source.scratch.room("packed", member.size))
    try:
        yield from unpack(data, packed.size, room)
    except BundleError as error:
        raise source.refused(member, error.what) from error


def check_object(source: Source, member: Member, coders: Coders) -> None:
    """Look at an object in full.

    Raises:
        BundleError: it is not what the MANIFEST says.
    """
    packed = member.what
    assert isinstance(packed, PackedObject)
    if is_small(packed):
        check_small(source, member)
        return
    for _ in read_large(source, member, coders):
        pass


def wrong_bytes(source: Source, member: Member) -> BundleError:
    """Return the error of an object whose bytes are another's."""
    return source.refused(member, "is damaged: its bytes are not those that its name says")


def named(digests: Collection[Digest]) -> str:
    """Return the first few digests, for people."""
    shown = ", ".join(digest[:12] for digest in sorted(digests)[:_MOST_NEEDED])
    return shown + (f" and {len(digests) - _MOST_NEEDED} more" if len(digests) > _MOST_NEEDED else "")
