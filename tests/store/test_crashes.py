"""Every crash point of everything that changes a store: killed, or the power cut, and then opened again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from disks import World, agree, check, counted_bytes, digest_of, key, payload, put, under

from forebay.store import Batch, Store
from forebay.testing import FaultyFilesystem, each_crash
from forebay.types import Entry

OLD = {"old": (payload("old"), payload("shared")), "pinned": (payload("pinned", 3000),)}
NEW = {"new": (payload("new-1"), payload("new-2"), payload("shared")), "second": (payload("second", 200),)}
CUTS = ("lose", "keep", 0)


def prepare(store: Store) -> None:
    for name, payloads in OLD.items():
        put(store, name, *payloads)
    store.pin("delta", key("pinned"), "keep")


def publish(store: Store) -> None:
    with store.batch() as batch:
        for name, payloads in NEW.items():
            refs = tuple(batch.put(f"o{n}", data) for n, data in enumerate(payloads))
            batch.add(Entry("delta", key(name), refs, meta={"name": name}))


def build(store: Store) -> None:
    def make(batch: Batch) -> Entry:
        refs = tuple(batch.put(f"o{n}", [data[:500], data[500:]]) for n, data in enumerate(NEW["new"]))
        return Entry("delta", key("new"), refs, meta={"name": "new"})

    store.build("delta", key("new"), make)


def evict(store: Store) -> None:
    put(store, "new", *NEW["new"], seconds=50.0)


def collect(store: Store) -> None:
    store.gc(max_bytes=4500)


def remove(store: Store) -> None:
    store.remove("delta", key("old"))


def reindex(store: Store) -> None:
    store.reindex()


def name_and_pin(store: Store) -> None:
    store.names.set("runs/demo", "delta", key("old"))
    store.pin("delta", key("old"))
    store.unpin("delta", key("pinned"))
    store.names.remove("runs/demo")


SCENARIOS: dict[str, tuple[Callable[[Store], object], int | None, set[str]]] = {
    # what is done, the budget, which of the old entries may be gone afterwards
    "publish": (publish, None, set()),
    "build": (build, 12_000, set()),
    "evict": (evict, 8_200, {"old"}),
    "gc": (collect, None, {"old"}),
    "remove": (remove, None, {"old"}),
    "reindex": (reindex, 9_000, set()),
    "name and pin": (name_and_pin, None, set()),
}


def recovered(world: World, disk: object, may_go: set[str], where: str) -> None:
    """Open the store on what the crash left, and see that it is right in everything it promises."""
    fs = FaultyFilesystem(disk)  # type: ignore[arg-type]
    with world.open(fs) as store:
        assert not under(disk, world.home, "tmp"), where  # type: ignore[arg-type]
        for name, payloads in OLD.items():
            assert check(store, name, payloads) or name in may_go, f"lost {name} {where}\n{fs.told()}"
        for name, payloads in NEW.items():
            check(store, name, payloads)
        put(store, "after", b"x")
        if world.settings.max_bytes is not None:
            assert counted_bytes(disk, world.home) <= world.settings.max_bytes, where  # type: ignore[arg-type]
        store.gc()
        agree(store, disk, world.home)  # type: ignore[arg-type]
        named = {ref.digest for info in store.entries() for ref in store.get(info.kind, info.key).objects}  # type: ignore[union-attr]
        there = {path.split("/", 1)[1].replace("/", "") for path in under(disk, world.home, "objects-v1")}  # type: ignore[arg-type]
        assert there == named, f"objects for nobody {where}"
        assert check(store, "pinned", OLD["pinned"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_anywhere(tmp_path: Path, scenario: str) -> None:
    do, budget, may_go = SCENARIOS[scenario]
    world = World.made(tmp_path / "s", prepare, max_bytes=budget)
    points = 0
    for crash in each_crash(world.work(do), world.disk):
        world.index_left_by(crash.fs)
        disk = crash.fs.restart().inner
        recovered(world, disk, may_go, f"killed {crash.point} ({scenario})")
        points += 1
    assert points >= 3


@pytest.mark.parametrize("index", ["lost", "earlier boot"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_power_cut_anywhere(tmp_path: Path, scenario: str, index: str) -> None:
    do, budget, may_go = SCENARIOS[scenario]
    world = World.made(tmp_path / "s", prepare, max_bytes=budget)
    points = 0
    for crash in each_crash(world.work(do), world.disk):
        points += 1
        for cut in CUTS:
            world.lose_index()
            if index == "earlier boot":
                world.index_left_by(crash.fs)
                world.age_index()
            disk = crash.fs.power_cut(cut)
            recovered(world, disk, may_go, f"power cut ({cut}) {crash.point} ({scenario}, index {index})")
    assert points >= 3


@pytest.mark.parametrize("scenario", ["publish", "build", "evict"])
def test_what_was_returned_survives_a_power_cut(tmp_path: Path, scenario: str) -> None:
    do, budget, _ = SCENARIOS[scenario]
    world = World.made(tmp_path / "s", prepare, max_bytes=budget)
    fs = FaultyFilesystem(world.disk.copy())
    world.work(do)(fs)
    for cut in ("lose", *range(10)):
        world.lose_index()
        with world.open(fs.power_cut(cut)) as store:
            assert check(store, "new", NEW["new"]), cut


@pytest.mark.parametrize("before", ["nothing", "on another machine", "a commit", "gc", "reindex", "the index is lost"])
def test_what_another_published_is_made_durable_before_it_is_relied_on(tmp_path: Path, before: str) -> None:
    """A process named an object and was stopped before it flushed its folder; whoever relies on it flushes it.

    Or whoever takes it into the books first: from then on nobody needs to.
    """
    world = World.made(tmp_path / "s", prepare)
    for crash in each_crash(world.work(publish), world.disk):
        world.index_left_by(crash.fs)
        fs = crash.fs.restart()
        match before:
            case "the index is lost":
                world.lose_index()
            case "on another machine":
                world.move_index()
            case "a commit" | "gc" | "reindex":
                with world.open(fs) as store:
                    first = {"a commit": lambda: put(store, "its", payload("its")), "gc": store.gc}
                    first.get(before, store.reindex)()
            case _:
                pass
        with world.open(fs) as store:
            put(store, "mine", *NEW["new"])
        world.lose_index()
        with world.open(fs.power_cut("lose")) as store:
            assert check(store, "mine", NEW["new"]), crash.point


def test_a_row_of_a_file_that_somebody_removed_says_nothing_of_the_new_one(tmp_path: Path) -> None:
    world = World.made(tmp_path / "s", prepare)
    path = next(Path(path) for path in world.disk.tree() if path.endswith(digest_of(OLD["old"][0])[2:]))
    world.disk.unlink(path)
    world.disk.flush_dir(path.parent)
    for crash in each_crash(world.work(lambda store: put(store, "old", *OLD["old"])), world.disk):
        world.index_left_by(crash.fs)
        world.move_index()
        fs = crash.fs.restart()
        with world.open(fs) as store:
            put(store, "mine", *OLD["old"])
        world.lose_index()
        with world.open(fs.power_cut("lose")) as store:
            assert check(store, "mine", OLD["old"]), crash.point


def test_replacing_an_entry_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    world = World.made(tmp_path / "s", prepare)
    other = payload("other")
    for crash in each_crash(world.work(lambda store: put(store, "old", other)), world.disk):
        for cut in CUTS:
            world.lose_index()
            with world.open(crash.fs.power_cut(cut)) as store:
                entry = store.get("delta", key("old"))
                assert entry is not None, crash.point
                assert store.complete(entry)
                assert [bytes(store.read(ref.digest)) for ref in entry.objects] in ([*OLD["old"]], [other])


def test_healing_what_was_damaged(tmp_path: Path) -> None:
    world = World.made(tmp_path / "s", prepare, max_bytes=9_500)

    def heal(store: Store) -> None:
        assert not check(store, "old", OLD["old"])
        put(store, "old", *OLD["old"])
        assert check(store, "old", OLD["old"])

    path = next(Path(path) for path in world.disk.tree() if path.endswith(digest_of(OLD["old"][0])[2:]))
    world.disk.corrupt(path)
    for crash in each_crash(world.work(heal), world.disk):
        world.index_left_by(crash.fs)
        disk = crash.fs.restart().inner
        recovered(world, disk, {"old"}, f"killed {crash.point}")
        for cut in CUTS:
            world.lose_index()
            recovered(world, crash.fs.power_cut(cut), {"old"}, f"power cut ({cut}) {crash.point}")
