"""Names: human paths that point at entries, as git's refs point at commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from forebay.errors import InputError
from forebay.store.files import Files, store_error
from forebay.store.layout import Layout, check_hex, check_kind
from forebay.types import JSON, Key, is_hex64

_MOST_BYTES = 200


class Names:
    """The names of a store. A name does not keep its entry from eviction; a pin does."""

    def __init__(self, layout: Layout, files: Files, check_writable: Callable[[], None]) -> None:
        self._layout = layout
        self._files = files
        self._check_writable = check_writable

    def set(self, path: str, kind: str, key: Key, facts: Mapping[str, JSON] | None = None) -> None:
        """Let a name point at an entry, durably; the last one to set it wins.

        Args:
            path: the name.
            kind: of the entry.
            key: of the entry.
            facts: what else to keep with the name: when it was asked for, say.

        Raises:
            InputError: no name, kind or key.
            StoreError: it cannot be written.
        """
        self._check_writable()
        check_kind(kind)
        check_hex(key, "key")
        told = {"facts": dict(facts)} if facts else {}
        self._files.replace(self._path(path), {"key": key, "kind": kind, **told})

    def get(self, path: str) -> tuple[str, Key] | None:
        """Return the kind and key that a name points at; None: no such name, or its file cannot be read."""
        found = self.read(path)
        return None if found is None else found[0]

    def facts(self, path: str) -> Mapping[str, JSON]:
        """Return what was kept with a name; nothing where there is no such name."""
        found = self.read(path)
        return {} if found is None else found[1]

    def read(self, path: str) -> tuple[tuple[str, Key], Mapping[str, JSON]] | None:
        """Return what `get` and `facts` do, of one and the same moment."""
        where = self._path(path)
        try:
            value = self._files.load(where) or {}
        except OSError:
            return None
        kind, key, facts = value.get("kind"), value.get("key"), value.get("facts")
        if not (isinstance(kind, str) and isinstance(key, str) and is_hex64(key)):
            return None
        return (kind, Key(key)), cast("dict[str, JSON]", facts) if isinstance(facts, dict) else {}

    def remove(self, path: str) -> bool:
        """Remove a name; tell whether it was there."""
        self._check_writable()
        return self._files.remove(self._path(path))

    def list(self, prefix: str = "") -> list[str]:
        """Return all names that begin with `prefix`, sorted.

        Raises:
            StoreError: the disk does not say.
        """
        found: list[str] = []
        try:
            self._collect(self._layout.names, "", prefix, found)
        except OSError as error:
            raise store_error(f"cannot list {self._layout.names}", error) from error
        return sorted(found)

    def _collect(self, folder: Path, at: str, prefix: str, found: list[str]) -> None:
        for name in self._files.names(folder):
            full = at + name.removesuffix(".json")
            if name.endswith(".json") and full.startswith(prefix):
                found.append(full)
        for name in self._files.names(folder, dirs=True):
            below = f"{at}{name}/"
            if below.startswith(prefix) or prefix.startswith(below):
                self._collect(folder / name, below, prefix, found)

    def _path(self, path: str) -> Path:
        parts = path.split("/")
        for part in parts:
            unfit = not part or part.startswith(".") or len(part.encode("utf-8", "replace")) > _MOST_BYTES
            if unfit or not part.isprintable():
                hint = "parts joined by /, none empty, none beginning with a dot, each of 200 bytes at most"
                raise InputError(f"not a name: {path!r}", subject=path, hint=hint)
        if any(part.endswith(".json") for part in parts[:-1]):
            raise InputError(f"not a name: {path!r}", subject=path, hint="only its last part may end in .json")
        return self._layout.names.joinpath(*parts[:-1], f"{parts[-1]}.json")
