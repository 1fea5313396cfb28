"""`forebay.load`: a split as a table or a Hugging Face dataset, straight from prepared Arrow.

Three tiers: memory (opened by this process before), disk (prepared in the store), hub (fetched and prepared now). A
reference to a commit is pinned: it is never asked for again, so that opening it a second time needs neither network nor
disk. A branch is asked for when its last answer is older than `HubSettings.fresh_seconds`.
"""

from __future__ import annotations

import copy
import threading
import time
import warnings
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from forebay import config
from forebay.errors import NotFoundError, SourceError
from forebay.events import Event, What
from forebay.hub.http import Transport
from forebay.hub.hub import Hub
from forebay.hub.preparation import prepare
from forebay.hub.prepared import Prepared, find
from forebay.hub.preparer import Preparers
from forebay.hub.reference import Reference, parse
from forebay.hub.snapshot import Snapshot
from forebay.store import Store
from forebay.store.layout import Layout

if TYPE_CHECKING:
    import datasets

    from forebay.table import Table

_MOST_OPEN = 512


@dataclass(frozen=True, slots=True)
class Tiers:
    """Which tier served how often.

    Attributes:
        memory: opened by this process before.
        disk: prepared in the store.
        hub: fetched or prepared first.
        fetched_bytes: that came over the network for it.
    """

    memory: int = 0
    disk: int = 0
    hub: int = 0
    fetched_bytes: int = 0


class _Asked(NamedTuple):
    """What a caller asked for: the key of the memory tier."""

    home: str
    reference: str
    split: str | None
    as_hf: bool


@dataclass(slots=True)
class _Opened:
    """What is open, and until when the reference means it (`time.monotonic`)."""

    value: Any
    until: float


@dataclass(slots=True)
class _Network:
    """Counts what came over the network, and collects what a user must know."""

    bytes: int = 0
    built: int = 0
    told: dict[str, None] = field(default_factory=dict[str, None])

    def __call__(self, event: Event) -> None:
        if event.what is What.WARNING:
            self.told[event.message] = None
        if event.what is What.FETCH:
            self.bytes += event.bytes
        self.built += event.what is What.BUILD


@dataclass(eq=False)
class Load:
    """The callable behind `forebay.load`. Safe to use from several threads."""

    _guard: threading.Lock = field(default_factory=threading.Lock)
    _open: OrderedDict[_Asked, _Opened] = field(default_factory=OrderedDict[_Asked, _Opened])
    _tiers: Tiers = field(default_factory=Tiers)
    _own: Store | None = None
    _preparers: Preparers = field(default_factory=Preparers)
    _transport: Transport | None = None

    @overload
    def __call__(
        self,
        reference: str | Path | Reference,
        split: str | None = None,
        *,
        as_hf: Literal[False] = False,
        store: Store | None = None,
        offline: bool = False,
    ) -> Table: ...
    @overload
    def __call__(
        self,
        reference: str | Path | Reference,
        split: str | None = None,
        *,
        as_hf: Literal[True],
        store: Store | None = None,
        offline: bool = False,
    ) -> datasets.Dataset: ...

    def __call__(
        self,
        reference: str | Path | Reference,
        split: str | None = None,
        *,
        as_hf: bool = False,
        store: Store | None = None,
        offline: bool = False,
    ) -> Table | datasets.Dataset:
        """Return a split of a dataset, the same with and without network.

        ::

            table = forebay.load("hf://datasets/openai/gsm8k#main", split="train")
            dataset = forebay.load("hf://datasets/openai/gsm8k#main", split="train", as_hf=True)

        Args:
            reference: of a dataset; its configuration may be left out where there is a default one.
            split: None: the only one.
            as_hf: a `datasets.Dataset` over the store's files, instead of a `Table`.
            store: None: as the environment and the configuration file say.
            offline: ask nobody.

        What the command line would warn of is a `RuntimeWarning`: the hub does not answer, say, or an older commit is
        used, or nothing can be kept.

        Raises:
            NotFoundError: no such dataset, configuration or split.
            InputError: a configuration or split must be named; or it is no dataset.
            SourceError: a column's type cannot be in a `Table`; `as_hf` can.
            ForebayError: as `preparation.prepare`.
        """
        config.refuse_folder(store)
        asked = _Asked("" if store is None else str(store.home), str(reference), split, as_hf)
        with self._guard:
            there = self._open.get(asked)
            if there is not None and time.monotonic() < there.until:
                self._open.move_to_end(asked)
                self._tiers = replace(self._tiers, memory=self._tiers.memory + 1)
                return copy.copy(there.value) if as_hf else there.value
        network = _Network()
        used = store or self._own_store()
        transport = self._connected()
        with Hub(used, transport.settings, network, transport=transport) as hub:
            meant = parse(reference)
            snapshot = hub.resolve(meant, offline=offline)
            prepared = find(used, snapshot, meant.config)
            if prepared is None:
                preparers = self._preparers  # configurations are often loaded one by one
                [prepared] = prepare(hub, snapshot, [meant.config], offline=offline, hook=network, preparers=preparers)
            value = _dataset(used, snapshot, prepared, split) if as_hf else _table(used, snapshot, prepared, split)
            until = float("inf") if meant.commit else time.monotonic() + hub.settings.fresh_seconds
        self._note(asked, _Opened(value, until), network)
        for message in network.told:
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return copy.copy(value) if as_hf else value

    def counters(self) -> Tiers:
        """Return which tier served how often in this process."""
        return self._tiers

    def forget(self) -> None:
        """Forget what is open, and all counts; close the default store, and end the process that prepares."""
        with self._guard:
            self._open.clear()
            self._tiers = Tiers()
            own, self._own = self._own, None
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        self._preparers.close()
        if own is not None:
            own.close()

    def _own_store(self) -> Store:
        """Return the default store, which stays open: tables read from it later."""
        with self._guard:
            if self._own is None:
                self._own = Store.open()
            return self._own

    def _connected(self) -> Transport:
        """Return what sends requests as the settings now say; its connections are used from call to call."""
        settings = config.resolve_hub()
        with self._guard:
            found = self._transport
            if found is None or found.settings != settings:
                if found is not None:
                    found.close()
                found = self._transport = Transport(settings)
            return found

    def _note(self, asked: _Asked, opened: _Opened, network: _Network) -> None:
        with self._guard:
            self._open[asked] = opened
            self._open.move_to_end(asked)
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
            tiers, made = self._tiers, network.built > 0 or network.bytes > 0
            self._tiers = replace(
                tiers,
                disk=tiers.disk + (not made),
                hub=tiers.hub + made,
                fetched_bytes=tiers.fetched_bytes + network.bytes,
            )


def _shards(snapshot: Snapshot, prepared: Prepared, split: str | None) -> tuple[str, Any]:
    name = next(iter(prepared.splits)) if split is None and len(prepared.splits) == 1 else split
    if name is None or name not in prepared.splits:
        what = f"{snapshot.dataset}#{prepared.configuration} has "
        what += "several splits, and none is named" if name is None else f"no split {name!r}"
        raise NotFoundError(what, subject=split, hint=f"there are: {', '.join(prepared.splits)}")
    return name, prepared.splits[name]


def _table(store: Store, snapshot: Snapshot, prepared: Prepared, split: str | None) -> Table:
    from forebay.table import Table
    from forebay.table.schema import Schema
    from forebay.table.shard import Shard

    name, shards = _shards(snapshot, prepared, split)
    if prepared.entry.meta["schema"] is None:
        what = f"{snapshot.dataset}#{prepared.configuration} has a column that no table can hold"
        raise SourceError(what, subject=snapshot.id, hint="load it with as_hf=True")
    made = [Shard(replace(ref, role="base"), rows) for ref, rows in shards]
    title = f"{snapshot.dataset}#{prepared.configuration}:{name}"
    return Table(store, made, Schema.from_json(prepared.entry.meta["schema"]), title)


def _dataset(store: Store, snapshot: Snapshot, prepared: Prepared, split: str | None) -> datasets.Dataset:
    import datasets
    from datasets.table import InMemoryTable, MemoryMappedTable, concat_tables

    name, shards = _shards(snapshot, prepared, split)
    layout = Layout(store.home)
    tables: list[Any] = []
    for ref, _ in shards:
        view, path = store.read(ref.digest), layout.object(ref.digest)  # checked before another library maps it
        mapped = path.exists()  # else it is encoded at rest
        tables.append(MemoryMappedTable.from_file(str(path)) if mapped else InMemoryTable.from_buffer(view))
    info = datasets.DatasetInfo.from_dict(prepared.info(store))
    fingerprint = f"{prepared.entry.key[:48]}{name}"[:64]
    whole = tables[0] if len(tables) == 1 else concat_tables(tables)
    return datasets.Dataset(whole, info=info, split=datasets.Split(name), fingerprint=fingerprint)


load = Load()
