"""What two bundles, manifests or a bundle and a store differ in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from forebay.bundle.creating import packed_entry
from forebay.bundle.manifest import Manifest, manifest_id, parse
from forebay.bundle.source import open_source
from forebay.bundle.stream import VOLUMES, FileStream
from forebay.errors import BundleError
from forebay.types import JSON, Digest

if TYPE_CHECKING:
    from forebay.store import Store

_HEAD = b'{"check":'


@dataclass(frozen=True, slots=True)
class Change:
    """Names of what is only in the later one, only in the earlier one, and in both but not the same; sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def to_json(self) -> dict[str, JSON]:
        """Return this as a JSON object."""
        return {"added": list(self.added), "removed": list(self.removed), "changed": list(self.changed)}


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different: entries (``kind:key``), objects (digests) and names; bytes of objects added and removed."""

    entries: Change
    objects: Change
    names: Change
    added_bytes: int
    removed_bytes: int

    @property
    def same(self) -> bool:
        """Whether nothing is different."""
        return not (self.entries or self.objects or self.names)

    def to_json(self) -> dict[str, JSON]:
        """Return this as a JSON object."""
        return {
            "same": self.same,
            "entries": self.entries.to_json(),
            "objects": self.objects.to_json(),
            "names": self.names.to_json(),
            "added_bytes": self.added_bytes,
            "removed_bytes": self.removed_bytes,
        }


def read_manifest(path: Path) -> tuple[str, Manifest]:
    """Return the id and the content of a manifest: of a MANIFEST.json by itself, or of a bundle.

    The list of a bundle's volumes begins as a MANIFEST does, and means the bundle.

    Raises:
        NotFoundError: it is not there.
        BundleError: it is neither, or damaged.
    """
    if path.is_file() and not path.name.endswith(VOLUMES):
        with FileStream([path.resolve()]) as stream:
            if stream.read(0, len(_HEAD)) == _HEAD:
                data = bytes(stream.read(0, stream.size))
                try:
                    return manifest_id(data), parse(data)
                except BundleError as error:
                    raise BundleError(f"{path}: {error.what}", subject=path) from error
    with open_source(path) as source:
        return source.id, source.manifest


def diff(earlier: Manifest, later: Manifest) -> Difference:
    """Compare what two manifests hold; what a delta needs counts as held."""
    old, new = _sizes(earlier), _sizes(later)
    return Difference(
        entries=_change(_entries(earlier), _entries(later)),
        objects=_change(old, new),
        names=_change(_pointed(earlier), _pointed(later)),
        added_bytes=sum(new[digest] for digest in new.keys() - old.keys()),
        removed_bytes=sum(old[digest] for digest in old.keys() - new.keys()),
    )


def diff_store(store: Store, manifest: Manifest) -> Difference:
    """Compare a store with what a bundle would have it hold: what is added is what installing would add."""
    here: dict[str, str] = {}
    there = _entries(manifest)
    for each in manifest.entries:
        found = store.get(each.kind, each.key)
        if found is not None:
            here[f"{each.kind}:{each.key}"] = packed_entry(found)[0].blake3
    for kind, key, check in manifest.needs.entries:
        if store.get(kind, key) is not None:
            here[f"{kind}:{key}"] = check
    sizes = _sizes(manifest)
    present = {digest: size for digest, size in sizes.items() if store.has(Digest(digest))}
    named = {each.name: store.names.get(each.name) for each in manifest.names}
    pointed = {name: f"{found[0]}:{found[1]}" for name, found in named.items() if found is not None}
    return Difference(
        entries=_change(here, there),
        objects=_change(present, sizes),
        names=_change(pointed, _pointed(manifest)),
        added_bytes=sum(size for digest, size in sizes.items() if digest not in present),
        removed_bytes=0,
    )


def _entries(manifest: Manifest) -> dict[str, str]:
    held = {f"{kind}:{key}": check for kind, key, check in manifest.needs.entries}
    return held | {f"{each.kind}:{each.key}": each.blake3 for each in manifest.entries}


def _sizes(manifest: Manifest) -> dict[str, int]:
    held: dict[str, int] = dict(manifest.needs.objects)
    return held | {each.digest: each.size for each in manifest.objects}


def _pointed(manifest: Manifest) -> dict[str, str]:
    return {each.name: f"{each.kind}:{each.key}" for each in manifest.names}


def _change(old: Mapping[str, str | int], new: Mapping[str, str | int]) -> Change:
    changed: Iterable[str] = (name for name in old.keys() & new.keys() if old[name] != new[name])
    return Change(
        tuple(sorted(new.keys() - old.keys())), tuple(sorted(old.keys() - new.keys())), tuple(sorted(changed))
    )
