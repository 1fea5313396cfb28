"""Seeded random work, random faults, kills and power cuts, again and again on one store, also while it recovers."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from disks import World, check, counted_bytes, key, payload, put

from forebay.errors import ObjectDamagedError, ObjectMissingError, StoreError
from forebay.store import Store
from forebay.testing import Fault, FaultKind, FaultyFilesystem, MemoryFilesystem, WorldStopped

NAMES = [f"n{number}" for number in range(8)]
BUDGET = 16_000


def payloads(name: str) -> tuple[bytes, ...]:
    """What is always made under a name: some names share an object, sizes differ."""
    number = int(name[1:])
    return (payload(f"shared-{number % 3}", 700), payload(name, 400 * number + 10))


class Chaos:
    """One life after another of a process that uses a store; `safe` are the names that must not be lost."""

    def __init__(self, home: Path, seed: int) -> None:
        self.chance = Random(seed)
        self.world = World.made(home, lambda store: None, max_bytes=BUDGET)
        self.disk = self.world.disk
        self.safe: set[str] = set()
        self.told = ""

    def live(self) -> None:
        """Open, work, and die some way or other."""
        fs = FaultyFilesystem(self.disk, faults=self.faults())
        fs._hook = self.world.watch(fs)
        store = None
        try:
            store = self.world.open(fs)
            for _ in range(self.chance.randrange(1, 12)):
                self.step(store)
        except WorldStopped:
            pass
        except StoreError:
            assert store is None, fs.told()  # it could not be opened; steps let nothing through
        if store is not None:
            store.abandon()
        self.die(fs)
        self.told = fs.told()

    def faults(self) -> list[Fault]:
        kinds = [FaultKind.STOP, FaultKind.TORN, FaultKind.STOP_AFTER, FaultKind.NO_SPACE, FaultKind.IO_ERROR]
        return [Fault(self.chance.choice(kinds), at=self.chance.randrange(1, 150)) for _ in range(3)]

    def step(self, store: Store) -> None:
        name = self.chance.choice(NAMES)
        action = self.chance.randrange(8)
        try:
            if action < 4:
                put(store, name, *payloads(name), seconds=self.chance.random() * 10)
            elif action == 4:
                self.safe.discard(name)
                store.unpin("delta", key(name))
            elif action == 5:
                store.gc(max_bytes=self.chance.choice([None, 3_000, 0]))
            elif action == 6:
                store.reindex()
            else:
                self.pin(store, name)
            check(store, name, payloads(name))
        except StoreError:
            pass  # the disk failed, or it is full of pins: the job goes on without the store

    def pin(self, store: Store, name: str) -> None:
        if len(self.safe) < 2 and store.get("delta", key(name)) is not None:
            store.pin("delta", key(name))
            if check(store, name, payloads(name)):
                self.safe.add(name)

    def die(self, fs: FaultyFilesystem) -> None:
        cut = self.chance.random() < 0.5
        if cut:
            self.disk = fs.power_cut(self.chance.choice(["lose", "keep", self.chance.randrange(1000)]))
            self.world.age_index() if self.chance.random() < 0.5 else self.world.lose_index()
        else:
            fs.restart()
            if self.chance.random() < 0.2:
                self.world.lose_index()

    def inspect(self) -> None:
        """See that what must be there is there, and that no byte is wrong."""
        with self.world.open(self.disk) as store:
            for name in NAMES:
                assert check(store, name, payloads(name)) or name not in self.safe, f"lost {name}\n{self.told}"
            put(store, "n0", *payloads("n0"))
            assert counted_bytes(self.disk, self.world.home) <= BUDGET


@pytest.mark.parametrize("seed", range(12))
def test_random_crashes(tmp_path: Path, seed: int) -> None:
    chaos = Chaos(tmp_path / "s", seed)
    for _ in range(10):
        chaos.live()
        chaos.inspect()


@pytest.mark.parametrize("seed", range(6))
def test_disk_that_fails_now_and_then(tmp_path: Path, seed: int) -> None:
    """Any operation may fail with any error: a StoreError or a miss, never another error, never wrong bytes."""
    chance = Random(seed)
    world = World.made(tmp_path / "s", lambda store: None, max_bytes=BUDGET)
    kinds = [FaultKind.NO_SPACE, FaultKind.IO_ERROR, FaultKind.DENIED, FaultKind.STALE, FaultKind.READ_ONLY]
    fs = FaultyFilesystem(world.disk, faults=[])
    store = world.open(fs)
    fs.plan(*(Fault(chance.choice(kinds), at=chance.randrange(len(fs.trace), 3000)) for _ in range(150)))
    fs._hook = world.watch(fs)
    for _ in range(60):
        name = chance.choice(NAMES)
        try:
            action = chance.randrange(6)
            if action < 4:
                put(store, name, *payloads(name))
            elif action == 4:
                store.gc(max_bytes=chance.choice([None, 2000]))
            else:
                store.remove("delta", key(name))
        except StoreError:
            pass
        try:
            check(store, name, payloads(name))
        except (ObjectMissingError, ObjectDamagedError):
            pass
    store.close()
    with world.open(MemoryFilesystem._with(world.disk, world.disk._disk)) as store:  # the same disk, whole again
        store.gc()
        put(store, "n7", *payloads("n7"))
        assert check(store, "n7", payloads("n7"))
        assert counted_bytes(world.disk, world.home) == store.usage().bytes
