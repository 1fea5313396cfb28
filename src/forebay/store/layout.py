"""Where things lie in a store's folder; design/0001-store-format.md is the specification.

::

    $FOREBAY_HOME
      objects-v1/ab/cdef…[.zst|.lz4|.gz]
      entries-v1/<kind>/ab/cdef….json
      names-v1/<path>.json
      holds-v1/pins/<kind>-<key>.json
      holds-v1/readers/<token>.json
      leases-v1/ab/<key>.<generation>.json
      partials-v1/<key>/…
      quarantine/<when>-<digest>[.suffix]
      tmp/<token>-<n>
      index.sqlite
      STORE.json
"""

from __future__ import annotations

import re
from pathlib import Path

from forebay import codec
from forebay.config import CodecName
from forebay.errors import InputError
from forebay.types import Digest, Key, is_hex64

FORMAT = 1
"""What STORE.json says."""

_KIND = re.compile(r"[a-z][a-z0-9-]{0,63}")
_OBJECT_REST = re.compile(r"([0-9a-f]{62})(\.zst|\.lz4|\.gz)?")
_ENTRY_REST = re.compile(r"([0-9a-f]{62})\.json")


class Layout:
    """The paths of one store."""

    __slots__ = (
        "ballast", "entries", "home", "index", "leases", "marker", "names", "objects", "partials", "pins", "quarantine",
        "readers", "tmp",
    )  # fmt: skip

    def __init__(self, home: Path) -> None:
        self.home = home
        self.objects = home / "objects-v1"
        self.entries = home / "entries-v1"
        self.names = home / "names-v1"
        self.pins = home / "holds-v1" / "pins"
        self.readers = home / "holds-v1" / "readers"
        self.leases = home / "leases-v1"
        self.partials = home / "partials-v1"
        self.quarantine = home / "quarantine"
        self.tmp = home / "tmp"
        self.index = home / "index.sqlite"
        self.marker = home / "STORE.json"
        self.ballast = home / "ballast"

    def folders(self) -> tuple[Path, ...]:
        """Return the folders that a writable store has from the start."""
        return (self.objects, self.entries, self.names, self.pins, self.readers, self.leases, self.quarantine, self.tmp)

    def object(self, digest: Digest, kept: CodecName = "none") -> Path:
        """Return where an object lies under a codec."""
        return self.objects.joinpath(digest[:2], digest[2:] + codec.SUFFIXES[kept])

    def entry(self, kind: str, key: Key) -> Path:
        """Return where an entry lies."""
        return self.entries.joinpath(kind, key[:2], f"{key[2:]}.json")


def check_kind(kind: str) -> None:
    """Refuse what is no kind.

    Raises:
        InputError: it is none.
    """
    if _KIND.fullmatch(kind) is None:
        raise InputError(f"not an entry kind: {kind!r}", subject=kind, hint="lower-case letters, digits and dashes")


def check_hex(text: str, what: str) -> None:
    """Refuse what is no key or digest; `what` says which was wanted.

    Raises:
        InputError: it is none.
    """
    if not is_hex64(text):
        raise InputError(f"not a {what}: {text!r}", subject=text, hint="64 lower-case hexadecimal digits")


def is_kind(name: str) -> bool:
    """Tell whether a folder's name can be a kind."""
    return _KIND.fullmatch(name) is not None


def parse_object(folder: str, name: str) -> tuple[Digest, CodecName] | None:
    """Return what an object's file is called, from the two parts of its path; None for a stranger."""
    match = _OBJECT_REST.fullmatch(name)
    if match is None or len(folder) != 2 or not is_hex64(folder + match[1]):
        return None
    kept = codec.codec_of(match[2] or "")
    return None if kept is None else (Digest(folder + match[1]), kept)


def parse_entry(folder: str, name: str) -> Key | None:
    """Return the key of an entry's file, from the last two parts of its path; None for a stranger."""
    match = _ENTRY_REST.fullmatch(name)
    if match is None or len(folder) != 2 or not is_hex64(folder + match[1]):
        return None
    return Key(folder + match[1])
