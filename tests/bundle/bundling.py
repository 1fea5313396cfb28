"""What the tests of bundles share: content for stores, and bundles forged by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from blake3 import blake3

from forebay.bundle import CreateOptions, CreateReport, archive, closure, create, find_roots
from forebay.config import Settings
from forebay.store import Store
from forebay.types import Entry, Key

WORDS = b"the forebay feeds the turbines whatever the river does "


def key(text: str) -> Key:
    return Key(blake3(text.encode()).hexdigest())


def noise(text: str, size: int) -> bytes:
    """Bytes that zstd cannot shrink."""
    return blake3(text.encode()).digest(size)


def prose(text: str, size: int) -> bytes:
    """Bytes that zstd shrinks well."""
    unit = text.encode() + b" " + WORDS
    return (unit * (size // len(unit) + 1))[:size]


def put(store: Store, name: str, objects: Mapping[str, bytes], kind: str = "delta", **more: Any) -> Entry:
    return store.commit(Entry(kind, key(name), **{"dataset": "demo", **more}), objects)


def fill_small(store: Store) -> None:
    """Two entries, three objects: one that zstd shrinks, one that it does not, an empty one; one name."""
    put(store, "base", {"data": prose("base", 700), "empty": b""})
    put(store, "top", {"data": noise("top", 40)}, inputs=(key("base"),), meta={"rows": 3})
    store.names.set("runs/demo", "delta", key("top"))


def fill(store: Store, count: int = 12, size: int = 3000) -> None:
    """A chain of entries, each with an object of noise, one of prose and one that several share."""
    for number in range(count):
        objects = {
            "noise": noise(f"n{number}", size + number),
            "prose": prose(f"p{number}", 2 * size + number),
            "file:data/part.txt": noise(f"shared{number % 3}", 500),
        }
        put(store, f"e{number}", objects, inputs=(key(f"e{number - 1}"),), meta={"number": number})
    store.names.set("runs/last", "delta", key(f"e{count - 1}"))
    store.names.set("hub/some/first", "delta", key("e0"))


def bundle(store: Store, out: Path, *roots: str, options: CreateOptions | None = None) -> CreateReport:
    return create(store, closure(store, find_roots(store, roots or ["demo"])), out, options)


def small_bundle(folder: Path, options: CreateOptions | None = None) -> bytes:
    """The bytes of the smallest bundle that has everything."""
    with Store.open(Settings(home=folder / "small")) as store:
        fill_small(store)
        bundle(store, folder / "small.tar", options=options)
    return (folder / "small.tar").read_bytes()


def content(store: Store) -> dict[tuple[str, str], dict[str, bytes]]:
    """Everything that a store says: (kind, key) -> role -> bytes."""
    found: dict[tuple[str, str], dict[str, bytes]] = {}
    for row in store.entries():
        entry = store.get(row.kind, row.key)
        assert entry is not None
        found[row.kind, row.key] = {ref.role: bytes(store.read(ref.digest)) for ref in entry.objects}
    return found


def names(store: Store) -> dict[str, tuple[str, Key] | None]:
    return {name: store.names.get(name) for name in store.names.list()}


def nothing_came(store: Store) -> bool:
    """Tell whether a store is as if nothing had been installed: no entry, no name; and no object that gc leaves."""
    empty = not list(store.entries()) and not store.names.list()
    store.gc()
    return empty and store.usage().objects == 0


# Forging


def members_of(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the fields of a bundle's MANIFEST and the content of every other member."""
    size = archive.manifest_size(data[: archive.BLOCK])
    fields = json.loads(data[archive.BLOCK : archive.BLOCK + size])
    del fields["check"]
    found: dict[str, bytes] = {}
    at = archive.BLOCK + archive.padded(size)
    while data[at : at + 1] != b"\0":
        head = data[at : at + archive.BLOCK]
        name, prefix = head[:100].rstrip(b"\0").decode(), head[345:500].rstrip(b"\0").decode()
        length = int(head[124:135], 8)
        at += archive.BLOCK
        found[f"{prefix}/{name}" if prefix else name] = data[at : at + length]
        at += archive.padded(length)
    return fields, found


def manifest_bytes(fields: object) -> bytes:
    """The MANIFEST that says this, whatever it is, with a check that fits."""
    line = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    return b'{"check":"' + blake3(line).hexdigest().encode() + b'",' + line[1:]


def forge(fields: object, contents: Mapping[str, bytes] | Sequence[tuple[str, bytes]]) -> bytes:
    """An archive with this MANIFEST and these members, in this order, which is consistent as a tar."""
    pairs = list(contents.items()) if isinstance(contents, Mapping) else list(contents)
    whole = bytearray()
    for name, data in [("MANIFEST.json", manifest_bytes(fields)), *pairs]:
        whole += archive.header(name, len(data)) + data + bytes(archive.padded(len(data)) - len(data))
    return bytes(whole + archive.END)
