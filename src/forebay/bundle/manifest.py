"""The MANIFEST: what a bundle holds, in canonical JSON that can be read back in one way only.

A small worked example, as it stands at the head of a bundle (one line; spaces may follow, see `Manifest.encode`)::

    {"check":"77aa…","entries":[{"blake3":"1b0c…","key":"5d2c…","kind":"snapshot","size":812}],
     "files":[{"blake3":"c4d1…","name":"README.txt","size":1904}, …],"format":1,
     "names":[{"key":"5d2c…","kind":"snapshot","name":"hub/hf/dataset/ns/name/main"}],
     "needs":{"entries":[],"objects":[]},
     "objects":[{"blake3":"0f3e…","digest":"9f3a…","pack":"zstd","packed":6100,"size":18240}],
     "roots":[{"key":"5d2c…","kind":"snapshot"}],"signer":null,"since":null,
     "zstd":{"frame_bytes":1048576,"level":1,"library":"1.5.7"}}

`check` is the BLAKE3 of the same line without ``"check":"…",`` and of all that follows. Whatever this says is believed
only so far as it can be checked: a manifest that is not signed by somebody trusted may come from anyone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, NoReturn, TypeVar, cast

from blake3 import blake3

from forebay.errors import BundleError
from forebay.types import Digest, Key, is_hex64

FORMAT = 1
MOST_BYTES = 256 * 2**20
"""A larger manifest is refused before it is read: some million objects."""
LOCK = "forebay.lock"
FILES = ("README.txt", "setup.sh", "setup.ps1", "FILES.tsv", LOCK)
"""Members beside entries and objects, in the order in which they come."""
FRAME_BYTES = 2**20
"""Decoded bytes of one zstd frame; the last one of an object may have fewer."""

Pack = Literal["none", "zstd"]

_HEAD, _TAIL = b'{"check":"', b'",'
_MOST = 2**53
_MOST_FILE_BYTES = 64 * 2**20
_KIND = re.compile(r"[a-z][a-z0-9-]{0,63}")
_LIBRARY = re.compile(r"[0-9.]{1,20}")
_LEAST_FRAME = 12  # a zstd frame of any content has a magic number, a header with its size, and a block
_MOST_NAME_BYTES = 2000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, order=True)
class PackedEntry:
    """An entry: which, its file's size in bytes and BLAKE3."""

    kind: str
    key: Key
    size: int
    blake3: str

    @property
    def member(self) -> str:
        """Its name in the archive."""
        return f"entries/{self.kind}/{self.key}.json"


@dataclass(frozen=True, slots=True, order=True)
class PackedObject:
    """An object: its digest and decoded size; how it is packed, the packed size and the BLAKE3 of the packed bytes."""

    digest: Digest
    size: int
    pack: Pack
    packed: int
    blake3: str

    @property
    def member(self) -> str:
        """Its name in the archive."""
        return f"objects/{self.digest[:2]}/{self.digest[2:]}{'.zst' if self.pack == 'zstd' else ''}"


@dataclass(frozen=True, slots=True)
class PackedFile:
    """Another file: one of `FILES`, its size in bytes and BLAKE3."""

    name: str
    size: int
    blake3: str


@dataclass(frozen=True, slots=True, order=True)
class PackedName:
    """A name and the entry that it points at."""

    name: str
    kind: str
    key: Key


@dataclass(frozen=True, slots=True)
class Needs:
    """What a delta leaves out, because the manifest since which it is has it: the store must have it already.

    Together with what the delta has this is the whole closure, so that there can be a delta to a delta.
    """

    entries: tuple[tuple[str, Key, str], ...] = ()
    """Kind, key, and the BLAKE3 that its file has in a bundle."""
    objects: tuple[tuple[Digest, int], ...] = ()
    """Digest and decoded size in bytes."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle holds; everything sorted, nothing twice."""

    entries: tuple[PackedEntry, ...] = ()
    objects: tuple[PackedObject, ...] = ()
    files: tuple[PackedFile, ...] = ()
    names: tuple[PackedName, ...] = ()
    roots: tuple[tuple[str, Key], ...] = ()
    """The entries that were asked for; the others came along."""
    needs: Needs = field(default_factory=Needs)
    since: str | None = None
    """For a delta, the id of the manifest since which it is."""
    signer: str | None = None
    """Hex of the ed25519 public key that signed it."""
    level: int = 1
    """Of zstd."""
    library: str = "0"
    """Version of zstd: another one may pack the same objects into other bytes."""

    @property
    def bytes(self) -> int:
        """Decoded bytes of all objects that are in it."""
        return sum(each.size for each in self.objects)

    @property
    def packed_bytes(self) -> int:
        """Bytes of all objects as they are in it."""
        return sum(each.packed for each in self.objects)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without `check`."""
        return {
            "entries": [
                {"blake3": each.blake3, "key": each.key, "kind": each.kind, "size": each.size} for each in self.entries
            ],
            "files": [{"blake3": each.blake3, "name": each.name, "size": each.size} for each in self.files],
            "format": FORMAT,
            "names": [{"key": each.key, "kind": each.kind, "name": each.name} for each in self.names],
            "needs": {
                "entries": [list(each) for each in self.needs.entries],
                "objects": [list(each) for each in self.needs.objects],
            },
            "objects": [
                {
                    "blake3": each.blake3,
                    "digest": each.digest,
                    "pack": each.pack,
                    "packed": each.packed,
                    "size": each.size,
                }
                for each in self.objects
            ],
            "roots": [{"key": key, "kind": kind} for kind, key in self.roots],
            "signer": self.signer,
            "since": self.since,
            "zstd": {"frame_bytes": FRAME_BYTES, "level": self.level, "library": self.library},
        }

    def encode(self, size: int | None = None) -> bytes:
        """Return the bytes of MANIFEST.json.

        Args:
            size: fill up with spaces to this many bytes: the packed sizes are known only when the rest of the archive
                has been written, so room is left for the longest that they could be. None: as short as can be.
        """
        line = _canonical(self.to_json())
        filled = line + b" " * (0 if size is None else size - _overhead(line)) + b"\n"
        return _HEAD + blake3(filled).hexdigest().encode() + _TAIL + filled[1:]


def longest(manifest: Manifest) -> int:
    """Return how many bytes the manifest has when all its objects turn out as large as can be."""
    packed = sum(len(str(most_packed(each.size))) - len(str(each.packed)) for each in manifest.objects)
    return _overhead(_canonical(manifest.to_json())) + packed


def most_packed(size: int) -> int:
    """Return how many bytes an object of `size` bytes takes at most when packed."""
    return size + size // 128 + 1024


def manifest_id(data: bytes) -> str:
    """Return the id of a manifest: BLAKE3 of its bytes."""
    return blake3(data).hexdigest()


def parse(data: bytes) -> Manifest:
    """Return the manifest that these bytes are; every field is checked.

    Raises:
        BundleError: they are none, or not in the one way in which it is written.
    """
    if len(data) > MOST_BYTES:
        raise BundleError(f"its MANIFEST is larger than {MOST_BYTES} bytes")
    start = len(_HEAD) + 64
    if not data.startswith(_HEAD) or data[start : start + len(_TAIL)] != _TAIL:
        raise BundleError("its MANIFEST does not begin as one does")
    filled = b"{" + data[start + len(_TAIL) :]
    if blake3(filled).hexdigest().encode() != data[len(_HEAD) : start]:
        raise BundleError("its MANIFEST is damaged: the check does not match")
    try:
        value = json.loads(filled)
        line = _canonical(value)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"its MANIFEST is not JSON: {type(error).__name__}") from error
    if not filled.startswith(line) or filled[len(line) :].strip(b" ") != b"\n":
        raise BundleError("its MANIFEST is not written in the canonical way")
    return _manifest(value)


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _overhead(line: bytes) -> int:
    return len(_HEAD) + 64 + len(_TAIL) + len(line) - 1 + 1


def _manifest(value: object) -> Manifest:
    names = {"entries", "files", "format", "names", "needs", "objects", "roots", "signer", "since", "zstd"}
    if isinstance(value, dict) and (told := cast("dict[str, object]", value).get("format")) != FORMAT:
        raise BundleError(f"it is a bundle of format {told!r}, this version knows {FORMAT}", hint="use a newer Forebay")
    fields = _fields(value, names, "the whole")
    zstd = _fields(fields["zstd"], {"frame_bytes", "level", "library"}, "zstd")
    if zstd["frame_bytes"] != FRAME_BYTES:
        _refuse("zstd.frame_bytes")
    library = zstd["library"]
    if not isinstance(library, str) or _LIBRARY.fullmatch(library) is None:
        _refuse("zstd.library")
    found = Manifest(
        entries=_sorted(fields["entries"], _entry, lambda each: (each.kind, each.key), "entries"),
        objects=_sorted(fields["objects"], _object, lambda each: each.digest, "objects"),
        files=_sorted(fields["files"], _file, lambda each: FILES.index(each.name), "files"),
        names=_sorted(fields["names"], _name, lambda each: each.name, "names"),
        roots=_sorted(fields["roots"], _root, lambda each: each, "roots"),
        needs=_needs(fields["needs"]),
        since=None if fields["since"] is None else _hex(fields["since"], "since"),
        signer=None if fields["signer"] is None else _hex(fields["signer"], "signer"),
        level=_whole(zstd["level"], 22, "zstd.level"),
        library=library,
    )
    _check_relations(found)
    return found


def _check_relations(found: Manifest) -> None:
    entries = {(each.kind, each.key) for each in found.entries}
    needed = {(kind, key) for kind, key, _ in found.needs.entries}
    if entries & needed or {each.digest for each in found.objects} & {digest for digest, _ in found.needs.objects}:
        _refuse("needs: it has what it says it lacks")
    known = entries | needed
    if not all((each.kind, each.key) in known for each in found.names):
        _refuse("names: one points at an entry that is not there")
    if not known.issuperset(found.roots):
        _refuse("roots: one is not there")
    if found.since is None and (needed or found.needs.objects):
        _refuse("needs: it is no delta")
    if sum(each.size for each in found.objects) > _MOST:
        _refuse("objects: they are too large")


def _sorted(value: object, make: Callable[[object], _T], order: Callable[[_T], Any], what: str) -> tuple[_T, ...]:
    if not isinstance(value, list):
        _refuse(what)
    found = tuple(make(each) for each in cast("list[object]", value))
    if any(order(one) >= order(other) for one, other in pairwise(found)):
        _refuse(f"{what}: not sorted, or one is there twice")
    return found


def _entry(value: object) -> PackedEntry:
    fields = _fields(value, {"blake3", "key", "kind", "size"}, "entries")
    size = _whole(fields["size"], _MOST_FILE_BYTES, "entries: size")
    return PackedEntry(
        _kind(fields["kind"]), Key(_hex(fields["key"], "entries: key")), size, _hex(fields["blake3"], "entries: blake3")
    )


def _object(value: object) -> PackedObject:
    fields = _fields(value, {"blake3", "digest", "pack", "packed", "size"}, "objects")
    digest, check = Digest(_hex(fields["digest"], "objects: digest")), _hex(fields["blake3"], "objects: blake3")
    size = _whole(fields["size"], _MOST, "objects: size")
    packed = _whole(fields["packed"], most_packed(size), "objects: packed")
    pack = fields["pack"]
    if pack == "none":
        if packed != size or check != digest:
            _refuse(f"objects: {digest[:12]} is not packed, yet not itself")
    elif pack != "zstd":
        _refuse(f"objects: pack of {digest[:12]}")
    elif packed < _LEAST_FRAME * -(-size // FRAME_BYTES) or not size:
        _refuse(f"objects: {digest[:12]} cannot be so small")
    return PackedObject(digest, size, cast("Pack", pack), packed, check)


def _file(value: object) -> PackedFile:
    fields = _fields(value, {"blake3", "name", "size"}, "files")
    name = fields["name"]
    if name not in FILES:
        _refuse("files: a name that none has")
    size = _whole(fields["size"], MOST_BYTES, "files: size")
    return PackedFile(cast("str", name), size, _hex(fields["blake3"], "files: blake3"))


def _name(value: object) -> PackedName:
    fields = _fields(value, {"key", "kind", "name"}, "names")
    name = fields["name"]
    if not isinstance(name, str) or not name or len(name) > _MOST_NAME_BYTES or not name.isprintable():
        _refuse("names: not a name")
    if any(part in ("", ".", "..") or "\\" in part for part in name.split("/")):
        _refuse(f"names: {name!r} leads elsewhere")
    return PackedName(name, _kind(fields["kind"]), Key(_hex(fields["key"], "names: key")))


def _root(value: object) -> tuple[str, Key]:
    fields = _fields(value, {"key", "kind"}, "roots")
    return _kind(fields["kind"]), Key(_hex(fields["key"], "roots: key"))


def _needs(value: object) -> Needs:
    fields = _fields(value, {"entries", "objects"}, "needs")

    def entry(told: object) -> tuple[str, Key, str]:
        kind, key, check = _several(told, 3, "needs.entries")
        return _kind(kind), Key(_hex(key, "needs.entries")), _hex(check, "needs.entries")

    def needed(told: object) -> tuple[Digest, int]:
        digest, size = _several(told, 2, "needs.objects")
        return Digest(_hex(digest, "needs.objects")), _whole(size, _MOST, "needs.objects")

    return Needs(
        _sorted(fields["entries"], entry, lambda each: each[:2], "needs.entries"),
        _sorted(fields["objects"], needed, lambda each: each[0], "needs.objects"),
    )


def _several(value: object, count: int, what: str) -> list[object]:
    if not isinstance(value, list) or len(cast("Sequence[object]", value)) != count:
        _refuse(what)
    return cast("list[object]", value)


def _fields(value: object, names: Iterable[str], what: str) -> dict[str, object]:
    if not isinstance(value, dict) or set(cast("dict[str, object]", value)) != set(names):
        _refuse(what)
    return cast("dict[str, object]", value)


def _kind(value: object) -> str:
    if not isinstance(value, str) or _KIND.fullmatch(value) is None:
        _refuse("kind")
    return value


def _hex(value: object, what: str) -> str:
    if not isinstance(value, str) or not is_hex64(value):
        _refuse(what)
    return value


def _whole(value: object, most: int, what: str) -> int:
    if type(value) is not int or not 0 <= value <= most:
        _refuse(what)
    return value


def _refuse(what: str) -> NoReturn:
    raise BundleError(f"its MANIFEST is not of this format ({what})")
