"""The tar of a bundle: a function of its MANIFEST, byte for byte, but for the members' content.

No tar is ever parsed. Where each member lies and every byte of its header follow from the MANIFEST, so a reader knows
what must stand at each offset and compares; whatever is there and should not be (a link, a device, another name, order
or size, a sparse map, padding that is not zero, bytes after the end) is simply not equal. `tarfile` reads all the tars
of the world, and that is what is not wanted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from forebay.bundle.manifest import MOST_BYTES, Manifest, PackedEntry, PackedFile, PackedObject
from forebay.errors import BundleError

BLOCK = 512
END = bytes(2 * BLOCK)
"""How a tar ends."""
MANIFEST, SIGNATURE = "MANIFEST.json", "MANIFEST.sig"
SIGNATURE_BYTES = 256
"""MANIFEST.sig is filled up with spaces to this size."""

_OCTAL_LIMIT = 8**11
_SIZE = slice(124, 136)
_PLAIN, _READ_ONLY, _PROGRAM = 0o644, 0o444, 0o755


@dataclass(frozen=True, slots=True)
class Member:
    """One member: what it is called, its size in bytes, where its header begins, and what the MANIFEST says of it."""

    name: str
    size: int
    offset: int
    what: PackedEntry | PackedFile | PackedObject | None = None
    """None: the MANIFEST itself, or its signature."""

    @property
    def content(self) -> int:
        """Where its content begins."""
        return self.offset + BLOCK

    @property
    def end(self) -> int:
        """Where the next member begins."""
        return self.content + padded(self.size)

    @property
    def header(self) -> bytes:
        """The header that it must have."""
        return header(self.name, self.size)


def padded(size: int) -> int:
    """Return how many bytes content takes: whole blocks."""
    return -(-size // BLOCK) * BLOCK


def header(name: str, size: int) -> bytes:
    """Return the ustar header of a plain file: owner 0, time 0, a mode that its name implies."""
    prefix = ""
    if len(name) > 100:
        prefix, _, name = name.rpartition("/")
    # What eleven octal digits cannot hold is written as GNU, BSD and Python do.
    length = b"%011o\0" % size if size < _OCTAL_LIMIT else b"\x80" + size.to_bytes(11, "big")
    mode = _PROGRAM if name == "setup.sh" else _READ_ONLY if "/" in name or prefix else _PLAIN
    numbers = b"%07o\0%07o\0%07o\0" % (mode, 0, 0)
    head = name.encode("ascii").ljust(100, b"\0") + numbers + length + b"%011o\0" % 0
    tail = b"0" + bytes(100) + b"ustar\00000" + bytes(64) + b"%07o\0%07o\0" % (0, 0) + prefix.encode("ascii")
    whole = (head + b" " * 8 + tail).ljust(BLOCK, b"\0")
    return whole[:148] + b"%06o\0 " % sum(whole) + whole[156:]


def manifest_size(block: bytes) -> int:
    """Return the size of the MANIFEST from the first block of an archive.

    Raises:
        BundleError: it is not the first block of a bundle.
    """
    length = block[_SIZE]
    if len(block) != BLOCK or not re.fullmatch(rb"[0-7]{11}\0", length):
        raise BundleError("it does not begin with the header of a MANIFEST", hint="it is no bundle, or damaged")
    size = int(length[:-1], 8)
    if block != header(MANIFEST, size):
        raise BundleError("it does not begin with the header of a MANIFEST", hint="it is no bundle, or damaged")
    if size > MOST_BYTES:
        raise BundleError(f"its MANIFEST is larger than {MOST_BYTES} bytes")
    return size


def members(manifest: Manifest, size: int) -> Iterator[Member]:
    """Yield what an archive consists of, in order.

    Args:
        manifest: of the archive.
        size: of the MANIFEST's own bytes.
    """
    first = Member(MANIFEST, size, 0)
    yield first
    offset = first.end
    if manifest.signer is not None:
        signature = Member(SIGNATURE, SIGNATURE_BYTES, offset)
        yield signature
        offset = signature.end
    for file in manifest.files:
        yield (member := Member(file.name, file.size, offset, file))
        offset = member.end
    for entry in manifest.entries:
        yield (member := Member(entry.member, entry.size, offset, entry))
        offset = member.end
    for packed in manifest.objects:
        yield (member := Member(packed.member, packed.packed, offset, packed))
        offset = member.end
