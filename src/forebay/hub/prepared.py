"""Prepared Arrow: a dataset's configuration as tables, made once by the ``datasets`` library from files of the store.

An entry of kind ``prepared`` has an object for each file of each split (role ``arrow:SPLIT:NUMBER``, an Arrow stream of
one record batch, raw at rest so that it is mapped in place) and ``info`` (what the library keeps in
``dataset_info.json``, in words that versions from 3 on read). Its key: the snapshot, the configuration, the library's
major version. The name ``prepared/SNAPSHOT/CONFIGURATION`` points at the latest, whichever version made it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast
from urllib.parse import quote, unquote

from forebay.errors import InputError, NotFoundError
from forebay.hub.snapshot import Snapshot, key_of
from forebay.store import Store
from forebay.types import Entry, Key, ObjectRef

PREPARED, CONFIGURATIONS = "prepared", "configurations"
"""Kinds of entries: one configuration; which ones there are."""

INFO = "info"


@dataclass(frozen=True, slots=True)
class Prepared:
    """One configuration, prepared.

    Attributes:
        entry: its entry.
        configuration: its name.
        splits: name -> its Arrow streams in order, each with its number of rows.
        readable: which versions of ``datasets`` read it: ``>=3``, or of those that made it.
    """

    entry: Entry
    configuration: str
    splits: Mapping[str, Sequence[tuple[ObjectRef, int]]]
    readable: str

    @property
    def bytes(self) -> int:
        """Of all streams."""
        return sum(ref.size for ref in self.entry.objects)

    def info(self, store: Store) -> dict[str, Any]:
        """Return what the library keeps in ``dataset_info.json``."""
        return cast("dict[str, Any]", json.loads(bytes(store.read(self.entry.object(INFO).digest))))

    @classmethod
    def of(cls, entry: Entry) -> Prepared:
        """Return what an entry says."""
        splits = cast("list[tuple[str, list[int]]]", entry.meta["splits"])  # JSON objects of an entry are sorted
        refs = {ref.role: ref for ref in entry.objects}
        found = {
            split: [(refs[f"arrow:{split}:{number}"], rows) for number, rows in enumerate(shards)]
            for split, shards in splits
        }
        return cls(entry, str(entry.meta["configuration"]), found, str(entry.meta["readable"]))


@dataclass(frozen=True, slots=True)
class Configurations:
    """Which configurations a snapshot has, and which one is meant where none is named (None: it must be named)."""

    names: tuple[str, ...]
    default: str | None

    def meant(self, configuration: str, dataset: str) -> str:
        """Return the configuration that is meant.

        Raises:
            InputError: none is named, and none is the default.
            NotFoundError: there is no such configuration.
        """
        shown = ", ".join(self.names[:12]) + (" …" if len(self.names) > 12 else "")
        if not configuration and self.default is None:
            raise InputError(f"{dataset} has several configurations", subject=dataset, hint=f"add #NAME: {shown}")
        if configuration and configuration not in self.names:
            what = f"{dataset} has no configuration {configuration!r}"
            raise NotFoundError(what, subject=configuration, hint=f"there are: {shown}")
        return configuration or self.default or ""


def configurations(store: Store, snapshot: Snapshot) -> Configurations | None:
    """Return which configurations a snapshot has; None: nobody has looked yet."""
    entry = store.get(CONFIGURATIONS, configurations_key(snapshot))
    if entry is None:
        return None
    default = entry.meta.get("default")
    names = cast("list[str]", entry.meta.get("names"))
    return Configurations(tuple(names), default if isinstance(default, str) else None)


def find(store: Store, snapshot: Snapshot, configuration: str) -> Prepared | None:
    """Return a prepared configuration if the store holds it whole: by this version of the library, else by another.

    Args:
        store: where to look.
        snapshot: what it is of.
        configuration: its name; "": the default one.
    """
    if not configuration:
        known = configurations(store, snapshot)
        if known is None or known.default is None:
            return None
        configuration = known.default
    version = library_version()
    keys = [prepared_key(snapshot, configuration, version)] if version else []
    named = store.names.get(prepared_name(snapshot, configuration))
    for key in [*keys, *([named[1]] if named is not None else [])]:
        entry = store.get(PREPARED, key)
        if entry is not None and store.complete(entry):
            return Prepared.of(entry)
    return None


def found_of(store: Store, snapshot: Snapshot) -> list[Prepared]:
    """Return all configurations of a snapshot that are prepared."""
    prefix = f"prepared/{_listing(snapshot)}/"
    names = [unquote(name.removeprefix(prefix)) for name in store.names.list(prefix)]
    found = [find(store, snapshot, name) for name in names]
    return [one for one in found if one is not None]


@cache
def library_version() -> str:
    """Return the version of ``datasets`` that is installed, or ""; without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("datasets")
    except PackageNotFoundError:
        return ""


def _listing(snapshot: Snapshot) -> Key:
    """Return what stands for the files that were there: of a partial snapshot more may be listed another day."""
    return key_of(snapshot.key, snapshot.manifest().decode()) if snapshot.partial else snapshot.key


def prepared_key(snapshot: Snapshot, configuration: str, version: str) -> Key:
    """Return the key of a configuration that this version of the library has prepared."""
    return key_of("forebay.prepared/1", _listing(snapshot), configuration, "datasets", version.partition(".")[0])


def configurations_key(snapshot: Snapshot) -> Key:
    """Return the key of the list of configurations."""
    return key_of("forebay.configurations/1", _listing(snapshot))


def prepared_name(snapshot: Snapshot, configuration: str) -> str:
    """Return the name that points at a configuration, whichever version prepared it."""
    safe = quote(configuration, safe=" ").replace(".", "%2E")
    return f"prepared/{_listing(snapshot)}/{safe}"
