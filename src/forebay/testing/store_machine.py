"""A Hypothesis state machine: a store against a perfect model, through kills, power cuts, damage and lost indexes.

Example::

    class MyMachine(StoreStateMachine):
        max_bytes = 20_000

    TestMine = MyMachine.TestCase

The model is a dictionary: what was committed, with its bytes. A store without a budget must hold exactly that. With a
budget, entries may be missing that nothing spares, and the store may be full; in either case no byte may be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blake3 import blake3
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from forebay.config import Settings
from forebay.errors import InputError, NotFoundError, ObjectDamagedError, ObjectMissingError, StoreFullError
from forebay.store import Store
from forebay.testing.memory import MemoryFilesystem
from forebay.types import Cost, Digest, Entry, Key

_HOME = Path("/forebay-store-under-test")
_KINDS = ("shard", "delta")

names = st.sampled_from([f"n{number}" for number in range(6)])
kinds = st.sampled_from(_KINDS)
contents = st.lists(
    st.sampled_from([("a", 10), ("b", 400), ("c", 3000), ("d", 3000), ("e", 0), ("f", 9000)]), max_size=3, unique=True
)


@dataclass(frozen=True)
class Known:
    """What the model knows of an entry."""

    payloads: tuple[bytes, ...]
    recoverable: bool
    dataset: str
    pinned: bool = False


class StoreStateMachine(RuleBasedStateMachine):
    """One store, opened, killed and opened again on a disk in memory, and the model of it."""

    max_bytes: int | None = None
    """The budget of the store; None: none, and then nothing may ever be missing."""
    settings: dict[str, Any] = {}  # noqa: RUF012 - for subclasses to replace
    """Further fields of `Settings`."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryFilesystem()
        self.known: dict[tuple[str, str], Known] = {}
        self.hollow: dict[tuple[str, str], Known] = {}  # whose objects were damaged: a miss, until they are made again
        self.names: dict[str, tuple[str, Key]] = {}
        self.store = self._open()

    def teardown(self) -> None:
        """Close the store."""
        self.store.close()

    def _open(self, **changes: Any) -> Store:
        given: dict[str, Any] = {"min_free_bytes": 0, "max_bytes": self.max_bytes, **self.settings, **changes}
        return Store.open(Settings(home=_HOME, **given), fs=self.disk)

    @initialize(codec=st.sampled_from(["none", "zstd", "lz4", "gzip"]), verify=st.sampled_from(["always", "once"]))
    def settle(self, codec: str, verify: str) -> None:
        """Choose how this store is kept."""
        self.settings = {"codec": codec, "verify": verify, **self.settings}
        self._again(self.store.close)

    def _again(self, end: Callable[[], None]) -> None:
        end()
        self.store = self._open()

    # What changes it

    @rule(
        chosen=st.lists(st.tuples(kinds, names, contents), min_size=1, max_size=3, unique_by=lambda c: c[:2]),
        recoverable=st.booleans(),
        dataset=st.sampled_from(["", "x", "y"]),
        seconds=st.sampled_from([0.0, 0.1, 100.0]),
        pieces=st.booleans(),
    )
    def commit(self, chosen: list[Any], recoverable: bool, dataset: str, seconds: float, pieces: bool) -> None:
        """Commit one or more entries together."""
        new: dict[tuple[str, str], Known] = {}
        try:
            with self.store.batch() as batch:
                for kind, name, content in chosen:
                    payloads = tuple(_noise(text, size) for text, size in content)
                    refs = [
                        batch.put(f"o{number}", [data[:7], data[7:]] if pieces else data)
                        for number, data in enumerate(payloads)
                    ]
                    batch.add(
                        Entry(
                            kind,
                            _key(name),
                            tuple(refs),
                            meta={"name": name},
                            cost=Cost(seconds),
                            recoverable=recoverable,
                            dataset=dataset,
                        )
                    )
                    old = self.known.get((kind, name))
                    new[kind, name] = Known(payloads, recoverable, dataset, old is not None and old.pinned)
        except StoreFullError:
            assert self.max_bytes is not None
            return
        self.known.update(new)
        for place in new:
            self.hollow.pop(place, None)

    @rule(kind=kinds, name=names)
    def remove(self, kind: str, name: str) -> None:
        """Remove an entry; a pinned one is refused."""
        known = self.known.get((kind, name))
        if known is not None and known.pinned:
            try:
                self.store.remove(kind, _key(name))
            except InputError:
                return
            raise AssertionError("a pinned entry was removed")
        if known is None and (kind, _key(name)) in {(pin.kind, pin.key) for pin in self.store.pins()}:
            return  # its objects were damaged; the pin is still there
        removed = self.store.remove(kind, _key(name))
        assert removed or known is None or self._may_be_missing(kind, name)
        self.hollow.pop((kind, name), None)
        self.known.pop((kind, name), None)

    @rule(places=st.lists(st.tuples(kinds, names), max_size=4))
    def remove_several(self, places: list[tuple[str, str]]) -> None:
        """Remove entries at once, sparing pinned ones."""
        pinned = {(pin.kind, pin.key) for pin in self.store.pins()}
        removed = self.store.remove_all(((kind, _key(name)) for kind, name in places), spare_pinned=True)
        assert len(set(removed)) == len(removed)
        assert not pinned.intersection(removed)
        for kind, name in set(places):
            if (kind, _key(name)) in pinned:
                continue
            assert (kind, _key(name)) in removed or (kind, name) not in self.known or self._may_be_missing(kind, name)
            self.hollow.pop((kind, name), None)
            self.known.pop((kind, name), None)

    @rule(kind=kinds, name=names)
    def pin(self, kind: str, name: str) -> None:
        """Pin an entry, if it is there."""
        try:
            self.store.pin(kind, _key(name))
        except NotFoundError:
            assert (kind, name) not in self.known or self._may_be_missing(kind, name)
            return
        known = self.known.get((kind, name))
        if known is not None and self._is_whole(kind, name, known):
            self.known[kind, name] = replace(known, pinned=True)

    @rule(kind=kinds, name=names)
    def unpin(self, kind: str, name: str) -> None:
        """Unpin an entry."""
        self.store.unpin(kind, _key(name))
        known = self.known.get((kind, name))
        if known is not None:
            self.known[kind, name] = replace(known, pinned=False)

    @rule(limit=st.sampled_from([None, 0, 4000, 12_000]))
    def gc(self, limit: int | None) -> None:
        """Collect, to a limit; afterwards no object is there for nobody."""
        dry = self.store.gc(max_bytes=limit, dry_run=True)
        report = self.store.gc(max_bytes=limit)
        assert report.left_bytes == self._bytes_on_disk()
        assert (report.entries, report.bytes) >= (0, 0) <= (dry.entries, dry.bytes)
        for kind, key in report.removed:
            for name in [name for known_kind, name in self.known if (known_kind, _key(name)) == (kind, key)]:
                known = self.known.pop((kind, name))
                assert known.recoverable
                assert not known.pinned
        if limit is not None and report.left_bytes > limit:
            spared = {(info.kind, info.key) for info in self.store.entries() if info.pinned or not info.recoverable}
            assert len(spared) == self.store.usage().entries
        self._no_orphans()

    @rule(kind=kinds, name=names, number=st.integers(0, 2), offset=st.integers(0, 8999))
    def damage(self, kind: str, name: str, number: int, offset: int) -> None:
        """Flip a bit of an object: from then on it is a miss, never a wrong answer."""
        known = self.known.get((kind, name))
        if known is None or number >= len(known.payloads):
            return
        data = known.payloads[number]
        for path in self._files_of(data):
            if self.disk.stat(path).size:
                self.disk.corrupt(path, offset % self.disk.stat(path).size)
        self._again(self.store.close)  # or the store may remember that it has verified it
        try:
            assert self.store.read(_digest(data)) == data  # a bit that the codec does not look at
        except (ObjectDamagedError, ObjectMissingError):
            self._forget_object(data)

    @rule(kind=kinds, name=names)
    def lose_file(self, kind: str, name: str) -> None:
        """Remove an object's file behind the store's back."""
        known = self.known.get((kind, name))
        if known is None or not known.payloads:
            return
        for path in self._files_of(known.payloads[0]):
            self.disk.unlink(path)
            self.disk.flush_dir(path.parent)
        self._forget_object(known.payloads[0])

    @rule(name=names, kind=kinds, pointed=names)
    def set_name(self, name: str, kind: str, pointed: str) -> None:
        """Let a name point somewhere."""
        self.store.names.set(f"runs/{name}", kind, _key(pointed))
        self.names[f"runs/{name}"] = (kind, _key(pointed))

    @rule(name=names)
    def remove_name(self, name: str) -> None:
        """Remove a name."""
        assert self.store.names.remove(f"runs/{name}") == (self.names.pop(f"runs/{name}", None) is not None)

    # What must change nothing

    @rule()
    def close_and_open(self) -> None:
        """The index, in memory, is lost: it is made anew from the files."""
        self._again(self.store.close)

    @rule()
    def kill_and_open(self) -> None:
        """Nothing is tidied up."""
        self._again(self.store.abandon)

    @rule(cut=st.one_of(st.just("lose"), st.just("keep"), st.integers(0, 99)))
    def power_cut(self, cut: Any) -> None:
        """Whatever was told as done survives."""
        self.store.abandon()
        self.disk = self.disk.power_cut(cut)
        self.store = self._open()

    @rule()
    def reindex(self) -> None:
        """The index is made anew while it is in use."""
        self.store.reindex()

    @rule()
    def verify(self) -> None:
        """There is no damage that was not seen when it was done, and every entry that lost an object is told."""
        report = self.store.verify()
        assert report.damaged == ()
        told = {(gap.kind, gap.name) for gap in report.missing}
        assert told == {(kind, _key(name)) for kind, name in self.hollow if self._lacks_files(kind, name)}

    @rule()
    def read_only(self) -> None:
        """Somebody who may not write sees the same."""
        with self._open(read_only=True) as other:
            for info in self.store.entries():
                assert other.get(info.kind, info.key) == self.store.get(info.kind, info.key)

    # What must always hold

    @invariant()
    def holds_what_was_committed(self) -> None:
        """Every entry is whole, and its bytes are right."""
        for (kind, name), known in list(self.known.items()):
            if not self._is_whole(kind, name, known):
                assert self._may_be_missing(kind, name), f"lost {kind} {name}"
                del self.known[kind, name]

    @invariant()
    def holds_nothing_else(self) -> None:
        """No entry that was never committed, or was removed."""
        for kind in _KINDS:
            for number in range(6):
                entry = self.store.get(kind, _key(f"n{number}"))
                place = (kind, f"n{number}")
                if entry is not None and place not in self.known and self.store.complete(entry):
                    assert place in self.hollow, f"{kind} n{number} came back"
                    assert self._is_whole(*place, self.hollow[place])

    @invariant()
    def keeps_its_names(self) -> None:
        """Names point where they were set to."""
        assert self.store.names.list() == sorted(self.names)
        assert all(self.store.names.get(name) == target for name, target in self.names.items())

    @invariant()
    def keeps_its_budget(self) -> None:
        """On the disk and in the books, which agree when nobody has tampered with the files."""
        if self.max_bytes is not None:
            assert self._bytes_on_disk() <= self.max_bytes
            assert self.store.usage().bytes <= self.max_bytes

    @invariant()
    def leaves_no_temporary(self) -> None:
        """Between operations there is none."""
        assert not [path for path in self.disk.tree() if path.startswith(str(_HOME / "tmp"))]

    def _is_whole(self, kind: str, name: str, known: Known) -> bool:
        entry = self.store.get(kind, _key(name))
        if entry is None or not self.store.complete(entry):
            return False
        found = [bytes(self.store.read(ref.digest)) for ref in entry.objects]
        assert found == list(known.payloads), f"wrong bytes in {kind} {name}"
        assert (entry.recoverable, entry.dataset, entry.meta["name"]) == (known.recoverable, known.dataset, name)
        return True

    def _may_be_missing(self, kind: str, name: str) -> bool:
        known = self.known.get((kind, name))
        return self.max_bytes is not None and known is not None and known.recoverable and not known.pinned

    def _forget_object(self, data: bytes) -> None:
        """Whatever names these bytes is a miss from now on; a pin on it holds nothing."""
        for place, known in list(self.known.items()):
            if data in known.payloads:
                self.hollow[place] = self.known.pop(place)

    def _lacks_files(self, kind: str, name: str) -> bool:
        """Tell whether an entry that lost an object is still there, and still without it."""
        payloads = self.hollow[kind, name].payloads
        return self.store.get(kind, _key(name)) is not None and not all(map(self._files_of, payloads))

    def _files_of(self, data: bytes) -> list[Path]:
        digest = _digest(data)
        stem = str(_HOME / "objects-v1" / digest[:2] / digest[2:])
        return [Path(path) for path in self.disk.tree() if path.startswith(stem)]

    def _bytes_on_disk(self) -> int:
        folders = tuple(str(_HOME / folder) + "/" for folder in ("objects-v1", "entries-v1", "quarantine", "tmp"))
        return sum(len(content) for path, content in self.disk.tree().items() if path.startswith(folders))

    def _no_orphans(self) -> None:
        named = {ref.digest for info in self.store.entries() for ref in self._entry(info.kind, info.key).objects}
        objects = str(_HOME / "objects-v1") + "/"
        there = {path[len(objects) :] for path in self.disk.tree() if path.startswith(objects)}
        assert {name.replace("/", "").partition(".")[0] for name in there} <= named

    def _entry(self, kind: str, key: Key) -> Entry:
        entry = self.store.get(kind, key)
        assert entry is not None, "the index tells of an entry that is not there"
        return entry


def _key(name: str) -> Key:
    return Key(blake3(name.encode()).hexdigest())


def _digest(data: bytes) -> Digest:
    return Digest(blake3(data).hexdigest())


def _noise(text: str, size: int) -> bytes:
    """Bytes of which half can be shrunk."""
    half = size // 2
    return blake3(text.encode()).digest(half) + text.encode() * (size - half)
