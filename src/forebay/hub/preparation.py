"""Preparing: files of the store become Arrow, once over all processes (see `forebay.hub.prepared`)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from forebay.errors import BuildError, CacheRequiredError, InputError, StoreReadOnlyError
from forebay.events import Event, Hook, What, ignore
from forebay.hub.cards import CARD_FILES
from forebay.hub.hub import FetchOptions, Hub
from forebay.hub.placing import Placer
from forebay.hub.prepared import (
    CONFIGURATIONS,
    INFO,
    PREPARED,
    Configurations,
    Prepared,
    configurations,
    configurations_key,
    find,
    library_version,
    prepared_key,
    prepared_name,
)
from forebay.hub.preparer import Preparer, PreparerEnded, Preparers
from forebay.hub.snapshot import Snapshot, key_of, listed
from forebay.hub.taking import taken
from forebay.store import Batch, Store
from forebay.types import JSON, Cost, Entry, ObjectRef

_POLL_SECONDS = 0.05
_TOGETHER = 16
"""So many configurations are kept by one commit."""
_WORDS_OF_3 = {
    "Value", "ClassLabel", "Translation", "TranslationVariableLanguages", "Sequence", "LargeList", "Array2D", "Array3D",
    "Array4D", "Array5D", "Audio", "Image",
}  # fmt: skip
"""Features that version 3 of the library knows."""


def prepare(
    hub: Hub,
    snapshot: Snapshot,
    wanted: Iterable[str] | None = None,
    *,
    offline: bool = False,
    partial: bool = False,
    hook: Hook = ignore,
    preparers: Preparers | None = None,
) -> list[Prepared]:
    """Return configurations, prepared; what is not yet, is made, once over all processes.

    Only the files that these configurations read are fetched.

    Args:
        hub: where from.
        snapshot: a dataset.
        wanted: names; "" is the default one; None: all.
        offline: ask nobody.
        partial: leave out configurations that cannot be prepared, or whose files may not be fetched.
        hook: told of BUILD and WAIT, by WARNING of a configuration that cannot be prepared, and with `partial` by
            PROGRESS (phase ``lacking``: `held` of so many `files`) of one whose files are not all there.
        preparers: keep the process that prepares for the next call; None: it ends with this one.

    Raises:
        NotFoundError: no such configuration.
        InputError: a name is wanting; or it is no dataset.
        CacheRequiredError: offline, and a file is not in the store.
        BuildError: the ``datasets`` library is not there, or cannot load this dataset.
        StoreReadOnlyError: it is not prepared, and the store may not be written.
        OriginError, AccessError, StoreError: as `Hub.fetch`.
    """
    store = hub.store
    names = list(wanted) if wanted is not None else None
    key = key_of("forebay.prepare/1", snapshot.key)
    while True:
        found = _all_found(store, snapshot, names)
        if found is not None:
            return found
        if snapshot.type != "dataset":
            hint = "only datasets are prepared"
            if snapshot.type in ("file", "folder"):
                hint = 'a recipe reads it: forebay.run({"dataset_path": …, "process": []}).table'
            raise InputError(f"{snapshot.dataset} is a {snapshot.type}", subject=snapshot.id, hint=hint)
        if not store.writable:
            what = f"{snapshot.dataset} is not prepared, and the store in {store.home} may not be written"
            raise StoreReadOnlyError(
                what, subject=snapshot.id, hint="prepare it as its owner: `forebay view datasets …`"
            )
        lease = store.lease(key)
        if lease is None:
            hook(Event(What.WAIT, f"waiting for another to prepare {snapshot.dataset}", key=key, kind=PREPARED))
            while store.lease_progress(key) is not None:
                time.sleep(_POLL_SECONDS)
            continue
        with lease:
            if _all_found(store, snapshot, names) is None:
                work = _Preparation(hub, snapshot, names, offline=offline, partial=partial, hook=hook)
                made = _run(work, preparers)
                if partial:
                    return [one for name in made if (one := find(store, snapshot, name)) is not None]


def _run(work: _Preparation, preparers: Preparers | None) -> list[str]:
    if preparers is not None:
        return work.run(preparers)
    with Preparers() as own:
        return work.run(own)


def _all_found(store: Store, snapshot: Snapshot, names: Sequence[str] | None) -> list[Prepared] | None:
    known = configurations(store, snapshot)
    if known is None:
        found = [find(store, snapshot, name) for name in names or ()]
        return [one for one in found if one] if names and all(found) else None
    meant = known.names if names is None else [known.meant(name, snapshot.dataset) for name in names]
    found = [find(store, snapshot, name) for name in meant]
    return None if None in found else [one for one in found if one is not None]


class _Preparation:
    """One request to the process that prepares."""

    def __init__(
        self, hub: Hub, snapshot: Snapshot, names: Sequence[str] | None, *, offline: bool, partial: bool, hook: Hook
    ) -> None:
        self._hub, self._store = hub, hub.store
        self._snapshot = snapshot
        self._names = names
        self._offline = offline
        self._partial = partial
        self._hook = hook
        self._made: list[str] = []
        self._broken: list[str] = []
        self._ready: list[tuple[Mapping[str, Any], float]] = []
        self._version = library_version()

    def run(self, preparers: Preparers) -> list[str]:
        """Prepare, and return the names of the configurations that were."""
        if not self._version:
            what = f"preparing {self._snapshot.dataset} needs the datasets library"
            raise BuildError(what, subject=self._snapshot.id, hint="pip install 'forebay[hf]'")
        try:
            with preparers.one(self._store.home) as preparer:
                self._serve(preparer)
                preparer.tidy()
        except PreparerEnded as error:
            raise self._failed(str(error)) from None
        if self._broken and not self._partial:
            raise self._failed(self._broken[0])
        return self._made

    def _lay_empty(self, folder: Path) -> None:
        for file in listed(self._snapshot.files, self._snapshot.dataset):
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def _lay(self, folder: Path, paths: Sequence[str] | None) -> None:
        """Fetch files, and put them where they are read from."""
        if paths is not None and not paths:
            return
        options = FetchOptions(include=paths or (), offline=self._offline)
        self._hub.fetch(self._snapshot, options)
        placer = Placer(self._store)
        for path in paths if paths is not None else [file.path for file in self._snapshot.files]:
            entry = self._hub.file(self._snapshot, path)
            if entry is None:
                what = f"{path} of {self._snapshot.dataset} is not in the store"
                raise CacheRequiredError(what, subject=path, hint=f"`forebay fetch {self._snapshot.reference}`")
            placer.place(entry.objects[0], folder / path)

    def _lay_for(self, folder: Path, needed: Mapping[str, list[str] | None]) -> list[str]:
        """Put the files of configurations where they are read from; return which configurations have theirs."""
        if not self._partial:
            whole = None in needed.values()
            self._lay(folder, None if whole else sorted({path for paths in needed.values() for path in paths or ()}))
            return list(needed)
        there: list[str] = []
        for name, paths in needed.items():
            try:
                self._lay(folder, paths)
            except CacheRequiredError:
                self._tell_lacking(name, paths)
                continue
            there.append(name)
        return there

    def _tell_lacking(self, name: str, paths: Sequence[str] | None) -> None:
        """Tell of how many files of a configuration the store has some, or none."""
        wanted = [file.path for file in self._snapshot.files if file.path not in CARD_FILES] if paths is None else paths
        held = sum(self._hub.file(self._snapshot, path) is not None for path in wanted)
        facts: dict[str, JSON] = {"phase": "lacking", "configuration": name, "held": held, "files": len(wanted)}
        self._hook(Event(What.PROGRESS, f"{self._snapshot.dataset}#{name}: files are missing", facts=facts))

    def _serve(self, preparer: Preparer) -> None:
        listing = configurations_key(self._snapshot)
        folder, is_laid = preparer.folder(listing, self._snapshot.id.rpartition("/")[2])
        if not is_laid:
            self._lay_empty(folder)
            self._lay(folder, [path for path in CARD_FILES if self._snapshot.get(path)])
        try:
            names = list(self._names) if self._names is not None else None
            began = time.perf_counter()
            preparer.tell({"folder": str(folder), "configurations": cast("JSON", names)})
            for said in preparer.answers():
                began = self._answer(said, folder, preparer.tell, began)
        finally:
            if self._ready:
                self._commit()  # what is made is kept, also when the next one fails

    def _answer(self, said: Mapping[str, Any], folder: Path, tell: Callable[[JSON], None], began: float) -> float:
        """Do what a line of the process asks for; return since when the next configuration is being made."""
        match said:
            case {"names": names, "default": default, "version": version}:
                self._note_configurations(names, default, version)
            case {"need": needed}:
                tell({"there": cast("JSON", self._lay_for(folder, needed))})
                return time.perf_counter()
            case {"broken": name, "why": why}:
                self._broken.append(f"{name}: {why}")
                self._hook(Event(What.WARNING, str(self._failed(self._broken[-1]))))
                return time.perf_counter()
            case {"configuration": _}:
                self._ready.append((said, time.perf_counter() - began))
                if len(self._ready) >= _TOGETHER:
                    self._commit()
                return time.perf_counter()
            case _:
                raise self._failed(str(said.get("failed", said)))
        return began

    def _failed(self, why: str) -> BuildError:
        what = f"datasets {self._version} cannot prepare {self._snapshot.dataset}: {' '.join(why.split())[:400]}"
        return BuildError(
            what, subject=self._snapshot.id, hint="load_dataset would fail alike: a script, or files missing?"
        )

    def _note_configurations(self, names: Sequence[str], default: str | None, version: str) -> None:
        meta: dict[str, JSON] = {"names": list(names), "default": default, "datasets": version}
        key = configurations_key(self._snapshot)
        dataset = self._snapshot.dataset
        known = Configurations(tuple(names), default)
        if configurations(self._store, self._snapshot) != known:
            self._store.commit(Entry(CONFIGURATIONS, key, meta=meta, inputs=(self._snapshot.key,), dataset=dataset))
        for name in self._names or ():
            known.meant(name, dataset)

    def _commit(self) -> None:
        """Keep what is ready: configurations are many and small, and share a commit."""
        ready, self._ready = self._ready, []
        with self._store.batch() as batch:
            entries = [self._put(batch, said, seconds) for said, seconds in ready]
        for entry in entries:
            name, cost = str(entry.meta["configuration"]), entry.cost
            self._store.names.set(prepared_name(self._snapshot, name), PREPARED, entry.key)
            self._made.append(name)
            told = f"prepared {self._snapshot.dataset} {name}"
            self._hook(Event(What.BUILD, told, entry.key, PREPARED, bytes=cost.bytes, seconds=cost.seconds))

    def _put(self, batch: Batch, said: Mapping[str, Any], seconds: float) -> Entry:
        snapshot, name = self._snapshot, str(said["configuration"])
        key = prepared_key(snapshot, name, self._version)
        splits = cast("dict[str, list[tuple[str, int]]]", said["splits"])
        info = json.dumps(said["info"], separators=(",", ":"), ensure_ascii=False).encode()
        features = said["info"]["features"]
        meta: dict[str, JSON] = {
            "configuration": name,
            "splits": [[split, [rows for _, rows in shards]] for split, shards in splits.items()],
            "builder": str(said["builder"]),
            "datasets": self._version,
            "readable": ">=3" if _words(features) <= _WORDS_OF_3 else f">={self._version}",
            "schema": _schema(splits),
            "restricted": snapshot.restricted,
        }
        parts: dict[str, JSON] = {
            "snapshot": snapshot.key, "configuration": name, "datasets": self._version.partition(".")[0],
        }  # fmt: skip
        refs = [batch.put(INFO, info)]
        for split, shards in splits.items():
            refs += [_kept(batch, f"arrow:{split}:{number}", Path(path)) for number, (path, _) in enumerate(shards)]
        cost = Cost(seconds, sum(ref.size for ref in refs))
        entry = Entry(PREPARED, key, tuple(refs), meta, parts, (snapshot.key,), cost, dataset=snapshot.dataset)
        batch.add(entry)
        return entry


def _kept(batch: Batch, role: str, path: Path) -> ObjectRef:
    """Stage a file that was just written and flushed: without a copy, and raw whatever the store's codec is."""
    from blake3 import blake3

    from forebay.types import Digest

    digest = Digest(blake3().update_mmap(path).hexdigest())
    ref = ObjectRef(role, digest, path.stat().st_size)
    if taken(batch, ref, path):
        return ref
    return batch.put(role, path.read_bytes())


def _schema(splits: Mapping[str, Sequence[tuple[str, int]]]) -> JSON:
    """Return the columns as a `Table` describes them; None where there is no such description."""
    import pyarrow as pa

    from forebay.table.canonical import canonical_table
    from forebay.table.casting import describe
    from forebay.table.schema import Schema

    first = next((shards[0][0] for shards in splits.values() if shards), None)
    if first is None:
        return None
    with pa.memory_map(first) as file:
        schema = pa.ipc.open_stream(file).schema
    try:
        found = describe(canonical_table(schema.empty_table()).schema)
    except (InputError, ValueError, TypeError, KeyError):
        return None
    return Schema.from_json([[column.name, column.type] for column in found.columns]).to_json()


def _words(feature: object) -> set[str]:
    """Return the types that features are made of."""
    if isinstance(feature, list):
        return {word for each in cast("list[object]", feature) for word in _words(each)}
    if not isinstance(feature, dict):
        return set()
    fields = cast("dict[str, object]", feature)
    kind = fields.get("_type")
    own = {kind} if isinstance(kind, str) else set[str]()
    return own | {word for each in fields.values() for word in _words(each)}
