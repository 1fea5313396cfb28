"""Leases on a disk in memory: the protocol, its races and its failures, without waiting for anything."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from forebay.errors import LeaseLostError
from forebay.io import Filesystem, Lease, LeaseFolder, ProcessName, Progress
from forebay.io.lease import token_in
from forebay.testing import Fault, FaultKind, FaultyFilesystem, MemoryFilesystem, Turns, each_crash

ROOT = Path("/leases")
KEY = "ab12"
SECONDS = 10.0


def elsewhere(number: int) -> ProcessName:
    """A process of another machine: only its heartbeat tells whether it lives."""
    return ProcessName(host=f"host{number}", place=f"place{number}", pid=number + 1, started=7)


def folder(fs: Filesystem, number: int = 0) -> LeaseFolder:
    return LeaseFolder(fs, ROOT, lease_seconds=SECONDS, clock=fs.now, heart=None, me=lambda: elsewhere(number))


def files(disk: MemoryFilesystem) -> list[str]:
    return [path.removeprefix("/leases/ab/") for path in disk.tree()]


def is_valid(disk: MemoryFilesystem, lease: Lease) -> bool:
    """Whether the lease would pass its check now, told from outside of it."""
    generations = [int(name.split(".")[1]) for name in files(disk) if name.endswith(".json")]
    content = disk.tree().get(str(lease.path))
    return content is not None and max(generations) == lease.generation and token_in(content) == lease._token


@pytest.fixture
def disk() -> MemoryFilesystem:
    return MemoryFilesystem()


def test_one_has_it_until_it_is_released(disk: MemoryFilesystem) -> None:
    mine, others = folder(disk, 0), folder(disk, 1)
    lease = mine.acquire(KEY)
    assert lease is not None
    assert others.acquire(KEY) is None
    assert mine.acquire(KEY) is None
    assert others.acquire("ab99") is not None
    lease.release()
    lease.release()
    second = others.acquire(KEY)
    assert second is not None
    assert not second.lost


def test_files_are_as_designed(disk: MemoryFilesystem) -> None:
    lease = folder(disk, 3).acquire(KEY)
    assert lease is not None
    assert files(disk) == ["ab12.1.json"]
    content = json.loads(disk.read(lease.path))
    assert content.pop("token")
    assert content == {"host": "host3", "place": "place3", "pid": 4, "started": 7}
    lease.release()
    assert files(disk) == []


def test_a_context_releases(disk: MemoryFilesystem) -> None:
    with folder(disk).acquire(KEY) or pytest.fail("free, but not given"):
        assert files(disk)
    assert not files(disk)


def test_a_beating_owner_keeps_it(disk: MemoryFilesystem) -> None:
    lease = folder(disk, 0).acquire(KEY)
    assert lease is not None
    others = folder(disk, 1)
    for _ in range(20):
        disk.clock.advance(SECONDS * 0.9)
        lease.beat()
        assert others.acquire(KEY) is None
    assert not lease.lost


def test_a_silent_owner_is_replaced_and_fenced(disk: MemoryFilesystem) -> None:
    late = folder(disk, 0).acquire(KEY)
    assert late is not None
    disk.clock.advance(SECONDS + 1)
    winner = folder(disk, 1).acquire(KEY)
    assert winner is not None
    assert winner.generation == 2
    assert late.lost
    with pytest.raises(LeaseLostError, match="ab12 was lost") as caught:
        late.check()
    assert caught.value.subject == KEY
    late.release()
    winner.check()
    assert sorted(files(disk)) == ["ab12.1.json", "ab12.2.json"]
    winner.release()
    assert files(disk) == []


def test_a_late_owner_is_not_fooled_by_its_own_name(disk: MemoryFilesystem) -> None:
    """All files went, and generation 1 came again: the token is another's."""
    late = folder(disk, 0).acquire(KEY)
    assert late is not None
    disk.clock.advance(SECONDS + 1)
    between = folder(disk, 1).acquire(KEY)
    assert between is not None
    between.release()
    third = folder(disk, 2).acquire(KEY)
    assert third is not None
    assert third.path == late.path
    assert late.lost
    late.release()
    assert third.confirm()


def test_a_late_owner_who_was_not_replaced_goes_on(disk: MemoryFilesystem) -> None:
    lease = folder(disk, 0).acquire(KEY)
    assert lease is not None
    disk.clock.advance(SECONDS * 3)
    assert not lease.lost  # asks the disk, and beats
    assert folder(disk, 1).acquire(KEY) is None


def test_a_lease_whose_file_vanished_is_lost(disk: MemoryFilesystem) -> None:
    lease = folder(disk).acquire(KEY)
    assert lease is not None
    disk.unlink(lease.path)
    assert not lease.confirm()
    assert lease.lost


def test_a_skewed_local_clock_does_not_matter(disk: MemoryFilesystem) -> None:
    class Skewed(FaultyFilesystem):
        def now(self) -> float:
            return super().now() + 86_400

    lease = folder(disk, 0).acquire(KEY)
    assert lease is not None
    assert folder(Skewed(disk), 1).acquire(KEY) is None
    disk.clock.advance(SECONDS + 1)
    assert folder(Skewed(disk), 1).acquire(KEY) is not None


def test_who_may_only_read_goes_by_its_own_clock(disk: MemoryFilesystem) -> None:
    lease = folder(disk, 0).acquire(KEY)
    assert lease is not None
    lease.progress("counting", 1, 2)
    disk.read_only = True
    assert folder(disk, 1).progress(KEY) == Progress("counting", 1, 2, "host0", 1)
    disk.clock.advance(SECONDS + 1)
    assert folder(disk, 1).progress(KEY) is None
    with pytest.raises(OSError, match="Read-only"):
        folder(disk, 1).acquire(KEY)


def test_a_clock_that_went_back_does_not_keep_the_dead(disk: MemoryFilesystem) -> None:
    """The heartbeat lies in the future; who watches long enough by its own clock finds the owner dead."""
    assert folder(disk, 0).acquire(KEY) is not None
    disk.clock.advance(-86_400)
    seconds = [0.0]
    watcher = LeaseFolder(
        disk, ROOT, lease_seconds=SECONDS, clock=lambda: seconds[0], heart=None, me=lambda: elsewhere(1)
    )
    for now in range(11):
        seconds[0] = now
        assert watcher.acquire(KEY) is None
    seconds[0] = SECONDS + 0.5
    lease = watcher.acquire(KEY)
    assert lease is not None
    assert lease.generation == 2


def test_a_file_that_was_never_written_dies_of_age(disk: MemoryFilesystem) -> None:
    disk.make_dirs(ROOT / "ab")
    disk.create(ROOT / "ab/ab12.7.json").close()
    assert folder(disk).acquire(KEY) is None
    disk.clock.advance(SECONDS + 1)
    lease = folder(disk).acquire(KEY)
    assert lease is not None
    assert lease.generation == 8


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": 3}', b'{"pid": "x", "place": ""}', b"\xff\0"])
def test_damaged_lease_files_are_strangers(disk: MemoryFilesystem, content: bytes) -> None:
    disk.make_dirs(ROOT / "ab")
    file = disk.create(ROOT / "ab/ab12.1.json")
    file.write(content)
    file.close()
    assert folder(disk).acquire(KEY) is None
    assert folder(disk).progress(KEY) == Progress()
    disk.clock.advance(SECONDS + 1)
    assert folder(disk).acquire(KEY) is not None


def test_strange_files_are_left_alone(disk: MemoryFilesystem) -> None:
    disk.make_dirs(ROOT / "ab")
    for name in ("ab12.x.json", "ab123.9.json", "README", "ab12.json", "ab12.5"):
        disk.create(ROOT / "ab" / name).close()
    lease = folder(disk).acquire(KEY)
    assert lease is not None
    assert lease.generation == 1


@pytest.mark.parametrize("name", ["", "a", "AB", "../x", "a.b", "ab/cd", "-a"])
def test_names_are_checked(disk: MemoryFilesystem, name: str) -> None:
    with pytest.raises(ValueError, match="not a name for a lease"):
        folder(disk).acquire(name)


def test_progress_is_told_and_not_too_often(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk)
    others = folder(disk, 1)
    assert others.progress(KEY) is None
    lease = folder(fs, 0).acquire(KEY)
    assert lease is not None
    assert others.progress(KEY) == Progress(host="host0", pid=1)
    for done in range(100):
        lease.progress("packing", done, 100)
    assert [operation.name for operation in fs.trace].count("rename") == 1
    assert others.progress(KEY) == Progress("packing", 0, 100, "host0", 1)
    lease.beat()
    assert others.progress(KEY) == Progress("packing", 99, 100, "host0", 1)
    disk.clock.advance(1)
    lease.progress("flushing")
    assert others.progress(KEY) == Progress("flushing", 0, 0, "host0", 1)
    lease.release()
    lease.progress("after the end")
    assert others.progress(KEY) is None
    assert files(disk) == []


def test_progress_of_the_dead_is_not_shown(disk: MemoryFilesystem) -> None:
    lease = folder(disk, 0).acquire(KEY)
    assert lease is not None
    lease.progress("packing", 1, 2)
    disk.clock.advance(SECONDS + 1)
    assert folder(disk, 1).progress(KEY) is None
    winner = folder(disk, 1).acquire(KEY)
    assert winner is not None
    assert folder(disk, 2).progress(KEY) == Progress(host="host1", pid=2)
    winner.release()
    assert files(disk) == []


def test_progress_never_fails(disk: MemoryFilesystem) -> None:
    faults = [Fault(FaultKind.NO_SPACE, path="*progress*", operation=name) for name in ("create", "write", "rename")]
    fs = FaultyFilesystem(disk, faults=faults)
    lease = folder(fs, 0).acquire(KEY)
    assert lease is not None
    for done in range(4):
        lease.progress("packing", done, 4)
        disk.clock.advance(1)
    assert folder(disk, 1).progress(KEY) == Progress("packing", 3, 4, "host0", 1)
    lease.release()
    assert files(disk) == []


def test_sweeping_removes_the_dead_and_spares_the_living(disk: MemoryFilesystem) -> None:
    dead = [folder(disk, 0).acquire(name) for name in ("ab12", "ab13", "cd12")]
    assert all(dead)
    dead[0].progress("half", 1, 2)  # type: ignore[union-attr]
    disk.clock.advance(SECONDS + 1)
    alive = folder(disk, 1).acquire("ef12")
    assert alive is not None
    others = folder(disk, 2)
    assert others.names() == ["ab12", "ab13", "cd12", "ef12"]
    assert others.sweep() == 3
    assert list(disk.tree()) == [str(alive.path)]
    assert others.sweep() == 0
    assert folder(disk, 2).names() == ["ef12"]


def test_nothing_to_sweep_without_a_folder(disk: MemoryFilesystem) -> None:
    assert folder(disk).sweep() == 0


def test_a_failing_disk_loses_the_lease_only_when_others_may_have_it(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk)
    lease = folder(fs, 0).acquire(KEY)
    assert lease is not None
    fs.plan(Fault(FaultKind.IO_ERROR, times=None))
    disk.clock.advance(SECONDS * 0.9)
    lease.beat()
    assert not lease.lost
    disk.clock.advance(SECONDS * 0.2)
    assert lease.lost
    lease.release()


@pytest.mark.parametrize("kind", [FaultKind.NO_SPACE, FaultKind.IO_ERROR, FaultKind.DENIED])
def test_every_operation_of_a_lease_may_fail(kind: FaultKind) -> None:
    """The error comes out of acquire or does no harm; never are there two; another gets it after lease_seconds."""

    def work(fs: FaultyFilesystem) -> Lease | None:
        lease = folder(fs, 0).acquire(KEY)
        if lease is not None:
            lease.progress("packing", 1, 2)
            lease.confirm()
            lease.release()
        return lease

    whole = FaultyFilesystem()
    assert work(whole) is not None
    for number in range(1, len(whole.trace) + 1):
        fs = FaultyFilesystem(faults=[Fault(kind, at=number)])
        with suppress(OSError):
            work(fs)
        fs.inner.clock.advance(SECONDS + 1)  # type: ignore[attr-defined]
        lease = folder(fs.restart(), 1).acquire(KEY)
        assert lease is not None, fs.told()
        assert not lease.lost


def test_killed_anywhere_the_next_gets_it() -> None:
    def work(fs: FaultyFilesystem) -> None:
        lease = folder(fs, 0).acquire(KEY)
        assert lease is not None
        lease.progress("packing", 1, 2)
        lease.confirm()
        lease.release()

    for crash in each_crash(work):
        disks = [crash.fs.restart().inner, *(crash.fs.power_cut(cut) for cut in ("lose", "keep", 1, 2, 3))]
        for disk in disks:
            assert isinstance(disk, MemoryFilesystem)
            disk.clock.advance(SECONDS + 1)
            lease = folder(disk, 1).acquire(KEY)
            assert lease is not None, crash.point
            lease.release(tidy=True)
            assert files(disk) == [], crash.point


# Interleavings. An owner takes the lease if it can, and gives it back or keeps it.


def take(number: int, *, keep: bool) -> object:
    def work(fs: FaultyFilesystem) -> Lease | None:
        lease = folder(fs, number).acquire(KEY)
        if lease is not None and not keep:
            lease.release()
        return lease

    return work


def start(kind: str) -> MemoryFilesystem:
    disk = MemoryFilesystem()
    if kind != "nothing there":
        assert folder(disk, 9).acquire(KEY) is not None
        disk.clock.advance(SECONDS + 1)
    if kind == "two dead":
        assert folder(disk, 8).acquire(KEY) is not None
        disk.clock.advance(SECONDS + 1)
    return disk


def preemptions(owners: int, most_steps: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Every schedule in which each owner but the last is interrupted once: so many steps each, then all to the end."""
    for order in itertools.permutations(range(owners)):
        for steps in itertools.product(range(most_steps), repeat=owners - 1):
            yield (*zip(order, steps, strict=False), *((owner, 10_000) for owner in reversed(order)))


@pytest.mark.parametrize("kind", ["nothing there", "one dead", "two dead"])
@pytest.mark.parametrize("keep", [(True, True), (False, True), (True, False)])
def test_two_in_every_interleaving(kind: str, keep: tuple[bool, bool]) -> None:
    for schedule in preemptions(2, 22):
        check_schedule(start(kind), keep, schedule)


@pytest.mark.parametrize("keep", [(True, True, True), (True, False, True)])
def test_three_in_interleavings(keep: tuple[bool, ...]) -> None:
    for schedule in preemptions(3, 18):
        check_schedule(start("one dead"), keep, schedule)


def check_schedule(disk: MemoryFilesystem, keep: tuple[bool, ...], schedule: tuple[tuple[int, int], ...]) -> None:
    with Turns(disk) as turns:
        workers = [turns.worker(take(number, keep=keeps)) for number, keeps in enumerate(keep)]
        for owner, steps in schedule:
            turns.step(workers[owner], steps)
            held = [worker.result for worker in workers if worker.done and worker.result is not None]
            assert sum(is_valid(disk, lease) for lease in held) <= 1, schedule
        kept = [worker.result for worker, keeps in zip(workers, keep, strict=True) if keeps and worker.result]
        # All are alive, so whoever got the lease still has it, and nobody else does.
        assert len(kept) <= 1, schedule
        assert all(is_valid(disk, lease) and not lease.lost for lease in kept), schedule
        disk.clock.advance(SECONDS + 1)
        assert folder(disk, 7).acquire(KEY) is not None, schedule


def test_a_sleeper_yields_to_a_higher_generation() -> None:
    """Two slept between looking and creating; the one with the lower generation wakes up last."""
    with Turns() as turns:
        sleeper = turns.worker(take(0, keep=True))
        while sleeper.fs.trace[-1].name != "create":
            turns.step(sleeper)
        turns.disk.make_dirs(ROOT / "ab")
        turns.disk.create(ROOT / "ab/ab12.2.json").close()
        assert turns.finish(sleeper) is None
        assert files(turns.disk) == ["ab12.2.json"]


class Owners(RuleBasedStateMachine):
    """Several owners, against a model that knows who has the lease and when its heart beat last."""

    owners = st.integers(0, 3)

    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryFilesystem()
        self.folders = [folder(self.disk, number) for number in range(4)]
        self.leases: dict[int, Lease] = {}
        self.holder: int | None = None
        self.beat = 0.0

    def is_dead(self) -> bool:
        return self.holder is None or self.disk.now() - self.beat > SECONDS

    @rule(owner=owners)
    def acquire(self, owner: int) -> None:
        free = self.is_dead()
        lease = self.folders[owner].acquire(KEY)
        assert (lease is not None) == free
        if lease is not None:
            self.leases[owner] = lease
            self.holder, self.beat = owner, self.disk.now()

    @rule(owner=owners)
    def beats(self, owner: int) -> None:
        if owner in self.leases:
            self.leases[owner].beat()
            if owner == self.holder:
                self.beat = self.disk.now()

    @rule(owner=owners)
    def looks(self, owner: int) -> None:
        if owner in self.leases:
            assert self.leases[owner].confirm() == (owner == self.holder)
            if owner == self.holder:
                self.beat = self.disk.now()

    @rule(owner=owners)
    def releases(self, owner: int) -> None:
        if owner in self.leases:
            self.leases.pop(owner).release()
            if owner == self.holder:
                self.holder = None

    @rule(owner=owners)
    def dies(self, owner: int) -> None:
        self.leases.pop(owner, None)
        self.folders[owner] = folder(self.disk, owner)

    @rule(seconds=st.sampled_from([0.1, 2.0, SECONDS / 2 + 1, SECONDS + 1]))
    def time_goes_on(self, seconds: float) -> None:
        self.disk.clock.advance(seconds)

    @precondition(lambda self: self.holder is not None)
    @rule(owner=owners)
    def tells(self, owner: int) -> None:
        if owner in self.leases:
            self.leases[owner].progress("working", 1, 2)

    @rule(owner=owners)
    def sweeps(self, owner: int) -> None:
        free = self.is_dead()
        self.folders[owner].sweep()
        if free:
            self.holder = None
            assert files(self.disk) == []

    @invariant()
    def at_most_one(self) -> None:
        valid = {owner for owner, lease in self.leases.items() if is_valid(self.disk, lease)}
        assert valid <= {self.holder}

    @invariant()
    def waiting_sees_the_living_only(self) -> None:
        progress = self.folders[0].progress(KEY)
        assert (progress is None) == self.is_dead()
        if progress is not None:
            assert progress.host == f"host{self.holder}"


TestOwners = Owners.TestCase
TestOwners.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
