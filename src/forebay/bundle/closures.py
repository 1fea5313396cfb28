"""Closures: the entries that were asked for, and all that they need."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

from forebay.bundle.manifest import PackedName
from forebay.errors import InputError, NotFoundError
from forebay.types import Digest, Entry, Key, is_hex64

if TYPE_CHECKING:
    from forebay.store import Store

_LEAST_DIGITS = 6
_BESIDE_SNAPSHOTS = ("info", "absent")
"""Kinds of entries in which what a hub said of a repository is kept; they bear the same dataset."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """A snapshot of which files are not in the store.

    Attributes:
        dataset: its reference.
        commit: its commit.
        files: number of files that are not there.
        of: number of all its files.
    """

    dataset: str
    commit: str
    files: int
    of: int


@dataclass(frozen=True, slots=True)
class Closure:
    """Entries, their objects and the names that point at them; everything sorted, nothing twice.

    Attributes:
        roots: (kind, key) of the entries that were asked for.
        entries: these and all that they need.
        objects: digest -> decoded size in bytes.
        names: those that point at one of the entries.
        lacking: snapshots that are wanted whole, and of which the store has a part.
    """

    roots: tuple[tuple[str, Key], ...]
    entries: tuple[Entry, ...]
    objects: Mapping[Digest, int]
    names: tuple[PackedName, ...]
    lacking: tuple[Lacking, ...] = ()

    @property
    def bytes(self) -> int:
        """Decoded bytes of all objects."""
        return sum(self.objects.values())


def closure(
    store: Store, roots: Iterable[tuple[str, Key]], files: Mapping[Key, Collection[str]] | None = None
) -> Closure:
    """Collect what entries need: their objects, their inputs, every entry that their facts name, and so on.

    An input that is not in the store is passed over: what was made of it is there.

    Args:
        store: where they are.
        roots: (kind, key) of entries.
        files: of these snapshots only the files at these paths are wanted, as if no others had been fetched.

    Raises:
        NotFoundError: a root is not in the store, or an object of an entry is not.
    """
    asked = sorted(set(roots))
    found: dict[tuple[str, Key], Entry] = {}
    book = _Book(store, files or {})
    left = list(asked)
    while left:
        place = left.pop()
        if place in found:
            continue
        entry = store.get(*place)
        if entry is None:
            if place in asked:
                what = f"no entry {place[0]} {place[1][:12]} in {store.home}"
                raise NotFoundError(what, subject=place[1], hint="`forebay ls` shows what is there")
            continue  # evicted since we found it
        found[place] = book.cut(entry)
        left.extend(book.needed_by(found[place]))
    entries = tuple(found[place] for place in sorted(found))
    objects = {ref.digest: ref.size for entry in entries for ref in entry.objects}
    missing = [digest for digest in objects if not store.has(digest)]
    if missing:
        owner = next(entry for entry in entries if any(ref.digest == missing[0] for ref in entry.objects))
        what = f"{len(missing)} objects are not in {store.home}, the first of {owner.kind} {owner.key[:12]}"
        raise NotFoundError(what, subject=missing[0], hint="fetch or compute it again")
    names, lacking = tuple(_names(store, found)), tuple(sorted(book.lacking, key=astuple))
    return Closure(tuple(asked), entries, dict(sorted(objects.items())), names, lacking)


def objects_only(store: Store, wanted: Mapping[Digest, int]) -> Closure:
    """Return some objects without entries: what `repair` asks for.

    Raises:
        NotFoundError: the store has one of them not.
    """
    missing = [digest for digest in wanted if not store.has(digest)]
    if missing:
        what = f"{len(missing)} of {len(wanted)} objects are not in {store.home}, the first is {missing[0][:12]}"
        raise NotFoundError(what, subject=missing[0])
    return Closure((), (), dict(sorted(wanted.items())), ())


def find_roots(store: Store, texts: Iterable[str]) -> list[tuple[str, Key]]:
    """Find the entries that a user means.

    Args:
        store: where they are.
        texts: each a name (``runs/demo``), a folder of names (``hub/hf/dataset/ns/name``), ``kind:digits``, the digits
            of a key (6 or more), the name of a dataset, or a reference of a repository of a hub.

    Raises:
        NotFoundError: one means nothing.
        InputError: digits that begin several keys.
    """
    found: dict[tuple[str, Key], None] = {}
    for text in texts:
        found.update(dict.fromkeys(_meant(store, text)))
    return list(found)


def _meant(store: Store, text: str) -> list[tuple[str, Key]]:
    kind, _, digits = text.rpartition(":")
    if re.fullmatch(rf"[0-9a-f]{{{_LEAST_DIGITS},64}}", digits):
        rows = store.entries(kind=kind or None)
        begun = sorted({(row.kind, row.key) for row in rows if row.key.startswith(digits)})
        if len(begun) > 1:
            raise InputError(f"{text!r} begins several keys", subject=text, hint="give more digits, or kind:digits")
        if begun:
            return begun
    folder = text.rstrip("/")
    try:
        named = store.names.get(folder)
        below = [store.names.get(name) for name in store.names.list(f"{folder}/")]
    except InputError:  # it has not the form of a name; a dataset may be called so
        named, below = None, []
    if named is not None:
        return [named]
    pointed = [each for each in below if each is not None]
    if pointed:
        return pointed
    belonging = sorted((row.kind, row.key) for row in store.entries(dataset=text)) if text else []
    if not belonging and "://" in text:
        belonging = _referred(store, text)
    if not belonging:
        what = f"no entry, name or dataset {text!r} in {store.home}"
        raise NotFoundError(what, subject=text, hint="`forebay ls` shows what is there")
    return belonging


def _referred(store: Store, text: str) -> list[tuple[str, Key]]:
    """Return the snapshots that a reference of a repository means, and what was prepared of them."""
    from forebay.hub import parse
    from forebay.hub.holdings import chosen
    from forebay.hub.snapshot import SNAPSHOT

    reference = parse(text)
    if reference.path or reference.config:
        what = f"{text} is a part of a repository, which is bundled as a whole"
        raise InputError(what, subject=text, hint=f"give {reference.whole}")
    held = {one.snapshot.key: one.snapshot.dataset for one in chosen(store, [reference])}
    rows = {(row.kind, row.key) for dataset in set(held.values()) for row in store.entries(dataset=dataset)}
    entries = (entry for place in sorted(rows) if (entry := store.get(*place)) is not None)
    made = [(entry.kind, entry.key) for entry in entries if held.keys() & set(entry.inputs)]
    return [*((SNAPSHOT, key) for key in held), *made]


class _Book:
    """What needs what, in one store."""

    def __init__(self, store: Store, files: Mapping[Key, Collection[str]]) -> None:
        self._store = store
        self._files = files
        self._by_key: dict[Key, list[str]] | None = None
        self.lacking: list[Lacking] = []

    def cut(self, entry: Entry) -> Entry:
        """Return an entry; that of a snapshot with no other files than are wanted of it."""
        wanted = self._files.get(entry.key) if entry.kind == "snapshot" else None
        if wanted is None:
            return entry
        roles = {f"file:{path}" for path in wanted}
        kept = tuple(ref for ref in entry.objects if not ref.role.startswith("file:") or ref.role in roles)
        if kept == entry.objects:
            return entry
        fetched = sorted(ref.role.removeprefix("file:") for ref in kept if ref.role in roles)
        return replace(entry, objects=kept, meta={**entry.meta, "fetched": [*fetched]})

    def needed_by(self, entry: Entry) -> Iterator[tuple[str, Key]]:
        """Yield the entries of the store that an entry refers to."""
        for key in (*entry.inputs, *_keys_in(dict(entry.meta))):
            for kind in self._kinds(key):
                yield kind, key
        if entry.kind == "snapshot":
            yield from self._of_snapshot(entry)

    def _of_snapshot(self, entry: Entry) -> Iterator[tuple[str, Key]]:
        """Yield the entries of its files, which are kept under what a hub calls their content, and what was said."""
        from forebay.hub.snapshot import FILE, MANIFEST, Snapshot
        from forebay.hub.vouching import is_vouched, owner_by

        for kind in _BESIDE_SNAPSHOTS if entry.dataset else ():
            yield from ((row.kind, row.key) for row in self._store.entries(kind, entry.dataset))
        manifest = next((ref for ref in entry.objects if ref.role == MANIFEST), None)
        if manifest is None or not self._store.has(manifest.digest):
            return
        wanted = self._files.get(entry.key)
        snapshot, taken = Snapshot.from_manifest(self._store.read(manifest.digest)), 0
        for file in snapshot.files:
            is_meant = (wanted is None or file.path in wanted) and FILE in self._kinds(file.key)
            found = self._store.get(FILE, file.key) if is_meant else None
            if found is not None and is_vouched(found, owner_by(entry)):  # else only another repository may give it
                taken += 1
                yield FILE, file.key
        if wanted is None and taken < len(snapshot.files):
            lacks = len(snapshot.files) - taken
            self.lacking.append(Lacking(snapshot.dataset, snapshot.commit, lacks, len(snapshot.files)))

    def _kinds(self, key: Key) -> list[str]:
        if self._by_key is None:
            self._by_key = {}
            for row in self._store.entries():
                self._by_key.setdefault(row.key, []).append(row.kind)
        return self._by_key.get(key, [])


def _keys_in(value: object) -> Iterator[Key]:
    """Yield whatever in some facts has the form of a key."""
    if isinstance(value, str):
        if is_hex64(value):
            yield Key(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _keys_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _keys_in(each)


def _names(store: Store, entries: Mapping[tuple[str, Key], Entry]) -> Iterator[PackedName]:
    for name in store.names.list():
        pointed = store.names.get(name)
        if pointed is not None and pointed in entries:
            yield PackedName(name, *pointed)
