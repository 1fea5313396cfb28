"""Which commit a branch stands for while no hub can be asked: that it was asked for takes nothing away."""

import hashlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay import config
from forebay.bundle.closures import closure, find_roots
from forebay.errors import OriginError, StoreError
from forebay.hub import FetchOptions, Hub, Listing, Snapshot, parse
from forebay.hub.holdings import chosen, holdings
from forebay.hub.memory import Memory
from forebay.hub.snapshot import FILE, SNAPSHOT, SnapshotFile
from forebay.hub.standing import Contents
from forebay.hub.views import lay
from forebay.store import Store
from forebay.testing import HubFault, Repository
from forebay.types import Entry

from .conftest import World  # pyright: ignore

REFERENCE = "hf://datasets/team/small"
MORE = {"data/train.csv": b"a,b\n3,4\n", "README.md": b"# other\n"}


def offline(world: World) -> Snapshot:
    """What another process uses without a network; all files that it was given are there."""
    hub = world.hub(offline=True)
    snapshot = hub.resolve(REFERENCE)
    assert hub.fetch(snapshot, FetchOptions(offline=True)) == snapshot
    return snapshot


def asks(hub: Hub) -> None:
    hub.resolve(REFERENCE, fresh_seconds=0)


def is_cut(hub: Hub) -> None:
    """A fetch that ends in the middle."""
    with pytest.raises(OriginError):
        hub.fetch(REFERENCE, FetchOptions(workers=1))


@pytest.mark.parametrize("question", [asks, is_cut])
def test_what_was_asked_and_not_fetched_takes_nothing_away(
    world: World, repository: Repository, question: Callable[[Hub], None]
) -> None:
    before = world.hub().fetch(REFERENCE)
    latest = repository.commit(MORE)
    hub = world.hub(fresh_seconds=0.0, attempts=1)
    rule = world.fake.faults.add(HubFault(status=503), "*train.csv")
    question(hub)
    world.fake.faults.remove(rule)
    assert hub.resolve(REFERENCE, fresh_seconds=60).commit == latest
    assert offline(world) == before
    assert f"it means {latest[:12]} by now" in world.warnings()[-1]
    assert world.hub().known(REFERENCE) == before
    assert world.hub().resolve(REFERENCE, fresh_seconds=60).commit == latest
    asked = len(world.fake.log)
    world.hub().resolve(REFERENCE)  # it is known when that was asked
    assert len(world.fake.log) == asked
    assert hub.fetch(REFERENCE).commit == latest
    assert offline(world).commit == latest


def test_a_hub_that_dies_leaves_what_can_be_used(world: World, repository: Repository) -> None:
    before = world.hub().fetch(REFERENCE)
    repository.commit(MORE)
    asks(world.hub())
    world.fake.die()
    hub = world.hub(fresh_seconds=0.0)
    assert hub.resolve(REFERENCE) == before
    assert hub.resolve(REFERENCE) == before  # without asking it again
    assert f"as it was at {before.commit[:12]}" in world.warnings()[-1]
    with pytest.raises(OriginError):
        world.hub().resolve(REFERENCE, fresh_seconds=0, stale_if_error=False)


def test_it_is_told_once(world: World, repository: Repository) -> None:
    world.hub().fetch(REFERENCE)
    repository.commit(MORE)
    asks(world.hub())
    hub, told = world.hub(offline=True), len(world.warnings())
    for _ in range(3):
        hub.resolve(REFERENCE)
    assert len(world.warnings()) == told + 1


def test_of_several_that_were_only_asked_for_none_stands(world: World, repository: Repository) -> None:
    before = world.hub().fetch(REFERENCE)
    for number in range(3):
        repository.commit({"README.md": f"# {number}\n".encode()})
        asks(world.hub())
    assert offline(world) == before
    assert [one.is_default for one in holdings(world.store()) if one.snapshot == before] == [True]
    assert [one.snapshot for one in chosen(world.store(), [REFERENCE])] == [before]
    assert [one.snapshot.commit for one in chosen(world.store(), [f"{REFERENCE}@{repository.head}"])] == [
        repository.head
    ]


def test_a_change_of_what_nobody_has_fetched_is_followed(world: World, repository: Repository) -> None:
    world.hub().fetch(REFERENCE, FetchOptions(include=["data/train.csv"]))
    latest = repository.commit({"README.md": b"# other\n", "new.txt": b"new"})
    asks(world.hub())
    assert world.hub(offline=True).resolve(REFERENCE).commit == latest
    assert world.store().names.facts("hub/hf/dataset/team/small/main").keys() == {"asked", "reference"}


def test_what_came_file_by_file_stands_when_all_is_there(world: World, repository: Repository) -> None:
    """As through the mirror."""
    before = world.hub().fetch(REFERENCE)
    latest = repository.commit(MORE)
    hub = world.hub(fresh_seconds=0.0)
    snapshot = hub.resolve(REFERENCE)
    hub.fetch_file(snapshot, "README.md")
    assert offline(world) == before
    b"".join(hub.stream(snapshot, "data/train.csv"))
    assert offline(world).commit == latest


def test_files_that_were_renamed(world: World, repository: Repository) -> None:
    hub = world.hub(fresh_seconds=0.0)
    before = hub.fetch(REFERENCE)
    moved = repository.commit({"rows/new.csv": b"a\n", "rows/late.csv": b"b\n"}, delete=["data/train.csv"])
    latest = hub.resolve(REFERENCE)
    assert offline(world) == before
    hub.fetch_file(latest, "rows/new.csv")
    assert world.hub(offline=True).resolve(REFERENCE).commit == moved


@pytest.mark.parametrize("into", ["data/late.csv", "data/deeper/late.csv"])
def test_a_file_that_came(world: World, repository: Repository, into: str) -> None:
    """Whoever loads a folder that he has all of will want it, too."""
    before = world.hub().fetch(REFERENCE)
    latest = repository.commit({into: b"late"})
    hub = world.hub(fresh_seconds=0.0)
    snapshot = hub.resolve(REFERENCE)
    assert world.hub(offline=True).resolve(REFERENCE) == (before if into == "data/late.csv" else snapshot)
    hub.fetch_file(snapshot, into)
    assert offline(world).commit == latest


def test_a_file_that_came_into_a_folder_of_which_only_some_are_wanted(world: World, repository: Repository) -> None:
    world.hub().fetch(REFERENCE, FetchOptions(include=["data/train.csv"]))
    latest = repository.commit({"data/late.csv": b"late"})
    asks(world.hub())
    assert world.hub(offline=True).resolve(REFERENCE).commit == latest


def test_a_split_that_was_cut_anew(world: World, repository: Repository) -> None:
    hub = world.hub(fresh_seconds=0.0)
    before = hub.fetch(REFERENCE)
    names = [f"data/train-{n}.csv" for n in range(3)]
    repository.commit({name: name.encode() for name in names}, delete=["data/train.csv"])
    latest = hub.resolve(REFERENCE)
    for name in names:
        assert offline(world) == before
        hub.fetch_file(latest, name)
    assert offline(world) == latest


def test_a_file_that_is_gone(world: World, repository: Repository) -> None:
    world.hub().fetch(REFERENCE)
    latest = repository.commit({}, delete=["data/empty.txt"])
    asks(world.hub())
    assert offline(world).commit == latest


def test_a_store_that_cannot_be_written_is_read_as_it_is_meant(
    world: World, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hub().fetch(REFERENCE)
    latest = repository.commit({"README.md": b"# other\n"})
    hub = world.hub(fresh_seconds=0.0)
    hub.fetch_file(hub.resolve(REFERENCE), "README.md")
    name = "hub/hf/dataset/team/small/main"
    facts = world.store().names.facts(name)
    assert "latest" in facts

    def refuse(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("forebay.store.names.Names.set", refuse)
        assert offline(world).commit == latest
    reading = world.hub(world.store(read_only=True), offline=True)
    assert reading.resolve(REFERENCE).commit == latest
    assert world.store().names.facts(name) == facts
    assert offline(world).commit == latest
    assert "latest" not in world.store().names.facts(name)


@pytest.mark.parametrize("read_only", [False, True])
def test_what_others_fetch_is_seen_by_who_asks_nobody(world: World, repository: Repository, read_only: bool) -> None:
    before = world.hub().fetch(REFERENCE)
    reading = world.hub(world.store(read_only=read_only), offline=True)
    assert reading.resolve(REFERENCE) == before
    repository.commit(MORE)
    latest = world.hub(fresh_seconds=0.0).fetch(REFERENCE)
    assert reading.resolve(REFERENCE) == latest


def test_who_knows_less_does_not_move_it_back(world: World, repository: Repository) -> None:
    hub = world.hub(fresh_seconds=0.0)
    hub.fetch(REFERENCE)
    repository.commit({"README.md": b"# second\n"})
    second = hub.resolve(REFERENCE)
    slow = Memory(world.store())
    assert slow.known(parse(REFERENCE)) is not None  # that the second is the latest
    repository.commit({"README.md": b"# third\n"})
    third = world.hub(fresh_seconds=0.0).fetch(REFERENCE)
    hub.fetch_file(second, "README.md")
    assert slow.standing(parse(REFERENCE)) == second
    assert offline(world) == third


def test_what_another_has_fetched_while_the_hub_was_asked_stands_in(world: World, repository: Repository) -> None:
    world.hub().fetch(REFERENCE)
    memory, reference = Memory(world.store()), parse(REFERENCE)
    memory.known(reference)
    repository.commit(MORE)
    before = world.hub(fresh_seconds=0.0).fetch(REFERENCE)
    repository.commit({"README.md": b"# the latest\n"})
    latest = world.hub().resolve(f"{REFERENCE}@{repository.head}")
    memory.save(reference, Listing(latest), 1.0)
    assert offline(world) == before


def test_a_name_that_says_nonsense_points_where_it_points(world: World, repository: Repository) -> None:
    before = world.hub().fetch(REFERENCE)
    name = "hub/hf/dataset/team/small/main"
    world.store().names.set(name, SNAPSHOT, before.key, {"asked": "now", "latest": 7})
    assert offline(world) == before


@pytest.mark.parametrize("gone", ["latest", "before"])
def test_one_of_both_was_evicted(world: World, repository: Repository, gone: str) -> None:
    before = world.hub().fetch(REFERENCE)
    repository.commit(MORE)
    latest = world.hub().resolve(REFERENCE, fresh_seconds=0)
    store = world.store()
    assert store.remove(SNAPSHOT, (latest if gone == "latest" else before).key)
    assert world.hub(offline=True).resolve(REFERENCE) == (before if gone == "latest" else latest)
    asked = len(world.fake.log)
    assert world.hub().resolve(REFERENCE) == latest
    assert (len(world.fake.log) > asked) == (gone == "latest")  # what the hub said last is not known any more


def test_what_a_gated_repository_sent_is_nothing_that_another_has(
    world: World, repository: Repository, tmp_path: Path
) -> None:
    before = world.hub().fetch(REFERENCE)
    secret = {"data/train.csv": b"a,b\n7,8\n"}
    world.fake.shelf.add(Repository("team/gated", files=secret, gated="auto", readers=["ann"]))
    gated = world.hub().fetch("hf://datasets/team/gated", FetchOptions(token="ann"))
    latest = repository.commit(secret)
    asks(world.hub())
    assert offline(world) == before
    store, named = world.store(), f"{REFERENCE}@{latest}"
    laid = lay(store, "evalscope", tmp_path / "view", [named])
    assert laid.missing == [f"{REFERENCE}: data/train.csv"]
    assert not (tmp_path / "view/team/small/data/train.csv").exists()
    [file] = gated.files
    for reference, has in ((named, False), ("hf://datasets/team/gated", True)):
        packed = closure(store, find_roots(store, [reference])).entries
        assert ((FILE, file.key) in {(entry.kind, entry.key) for entry in packed}) == has


def test_the_revisions_that_are_listed(world: World, repository: Repository) -> None:
    before = world.hub().fetch(REFERENCE)
    latest = repository.commit(MORE)
    asks(world.hub())
    hub = world.hub()
    assert hub.revisions(before) == {"main": latest}
    assert hub.revisions(before, offline=True) == {"main": before.commit}


PATHS = ["x/a.csv", "x/b.csv", "y/c.csv", "README.md"]
trees = st.dictionaries(st.sampled_from(PATHS), st.integers(0, 2), min_size=1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("asked"), trees),
        st.tuples(st.just("came"), st.tuples(st.sampled_from(PATHS), st.integers(0, 2))),
        st.tuples(st.just("fetched"), st.none()),
    ),
    max_size=12,
)


@contextmanager
def opened(folder: Path) -> Generator[tuple[Store, Memory]]:
    with Store.open(config.resolve({}, home=folder)) as store:
        yield store, Memory(store)


def as_file(path: str, version: int) -> SnapshotFile:
    return SnapshotFile(path, 1, f"sha256:{hashlib.sha256(bytes([version])).hexdigest()}")


def usable(store: Store, snapshot: Snapshot | None) -> set[str]:
    if snapshot is None:
        return set()
    held = Contents(store, store.get(SNAPSHOT, snapshot.key))
    return {file.path for file in snapshot.files if held.get(file) is not None}


def in_x(snapshot: Snapshot) -> set[str]:
    return {file.path for file in snapshot.files if file.path.startswith("x/")}


@settings(deadline=None, max_examples=60)
@given(steps)
def test_asking_takes_nothing_away(tmp_path_factory: pytest.TempPathFactory, done: list[tuple[str, object]]) -> None:
    """Whatever was asked and came in whatever order, over processes that each begin anew."""
    folder, reference = tmp_path_factory.mktemp("store"), parse(REFERENCE)
    for number, (what, told) in enumerate(done):
        with opened(folder) as (store, memory):
            meant = memory.standing(reference)
            there = usable(store, meant)
            if isinstance(told, dict):
                files = tuple(as_file(path, version) for path, version in sorted(told.items()))
                latest = Snapshot("hf", "dataset", "team/small", f"{number:040x}", files)
                memory.save(reference, Listing(latest), float(number))
            elif isinstance(told, tuple):
                file = as_file(*told)
                store.commit(Entry(FILE, file.key), {"content": bytes([told[1]])})
            elif (known := memory.known(reference)) is not None:
                refs = {}
                for file in known.snapshot.files:
                    entry = store.commit(Entry(FILE, file.key), {"content": bytes([_version(file)])})
                    refs[file.path] = entry.objects[0]
                memory.gather(known.snapshot, refs)
        with opened(folder) as (store, memory):
            now, known = memory.standing(reference), memory.known(reference)
            after = usable(store, now)
            assert (now is None) == (known is None)
            if now is not None and known is not None:
                assert {path for path in there if now.get(path) is not None} <= after
                if meant is not None and in_x(meant) and in_x(meant) <= there:
                    assert in_x(now) <= after  # what can be loaded as a whole can be so still
                assert not there or after or not now.files
                assert what != "fetched" or now == known.snapshot


def _version(file: SnapshotFile) -> int:
    return next(version for version in range(3) if as_file(file.path, version).identity == file.identity)
