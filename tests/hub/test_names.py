"""What revisions mean: freshness, dead hubs, what is not there, no network."""

import time

import pytest

from forebay.errors import AccessError, CacheRequiredError, NotFoundError, OriginError
from forebay.hub import Listing, Snapshot, parse
from forebay.hub.memory import Memory, reference_named
from forebay.testing import HubFault, Repository

from .conftest import World  # pyright: ignore

REFERENCE = "hf://datasets/team/small"


def test_a_branch_is_asked_for_when_its_answer_is_old(world: World, repository: Repository) -> None:
    hub = world.hub()
    first = hub.resolve(REFERENCE)
    assert hub.resolve(REFERENCE) == first
    assert len(world.fake.log) == 2
    second = repository.commit({"README.md": b"new"})
    assert hub.resolve(REFERENCE).commit == first.commit
    assert hub.resolve(REFERENCE, fresh_seconds=0).commit == second
    assert hub.resolve(REFERENCE).commit == second


def test_what_is_at_a_commit_is_listed_once(world: World, repository: Repository) -> None:
    hub = world.hub()
    first = hub.resolve(REFERENCE)
    asked = len(world.fake.log)
    assert hub.resolve(REFERENCE, fresh_seconds=0) == first
    assert world.hub().resolve(REFERENCE, fresh_seconds=0) == first
    assert len(world.fake.log) == asked + 2  # the revision, twice; no tree
    second = repository.commit({"new.txt": b"new"})
    found = hub.resolve(REFERENCE, fresh_seconds=0)
    assert found.commit == second
    assert found.get("new.txt") is not None
    assert len(world.fake.log) == asked + 4


def test_a_commit_is_asked_for_once(world: World, repository: Repository) -> None:
    hub = world.hub()
    reference = f"{REFERENCE}@{repository.head}"
    first = hub.resolve(reference, fresh_seconds=0)
    asked = len(world.fake.log)
    assert hub.resolve(reference, fresh_seconds=0) == first
    assert len(world.fake.log) == asked


def test_a_commit_that_a_branch_has_shown_needs_no_question(world: World, repository: Repository) -> None:
    hub = world.hub()
    hub.resolve(REFERENCE)
    asked = len(world.fake.log)
    assert world.hub().resolve(f"{REFERENCE}@{repository.head}").commit == repository.head
    assert len(world.fake.log) == asked


def test_another_process_knows_what_one_has_asked(world: World) -> None:
    world.hub().resolve(REFERENCE)
    asked = len(world.fake.log)
    other = world.hub()
    assert other.known(REFERENCE) is not None
    other.resolve(REFERENCE)
    assert len(world.fake.log) == asked


def test_an_answer_of_another_process_counts_even_where_an_older_is_in_memory(world: World, repository) -> None:
    one, other = world.hub(), world.hub()
    one.resolve(REFERENCE)
    time.sleep(0.3)
    repository.commit({"README.md": b"new"})
    other.resolve(REFERENCE, fresh_seconds=0)
    asked = len(world.fake.log)
    assert one.resolve(REFERENCE, fresh_seconds=0.25).commit == repository.head
    assert len(world.fake.log) == asked


@pytest.mark.parametrize("fault", [HubFault(status=503), HubFault(reset=True), HubFault(status=500), None])
def test_a_dead_hub_is_answered_for_by_the_store(world: World, fault: HubFault | None) -> None:
    first = world.hub().resolve(REFERENCE)
    if fault is None:
        world.fake.die()
    else:
        world.fake.faults.add(fault)
    hub = world.hub()
    assert hub.resolve(REFERENCE, fresh_seconds=0) == first
    (warning,) = world.warnings()
    assert f"using {REFERENCE} as it was at {first.commit[:12]}" in warning
    asked = len(world.fake.log)
    assert hub.resolve(REFERENCE, fresh_seconds=0) == first  # and is not asked again at once
    assert len(world.fake.log) == asked
    with pytest.raises(OriginError):
        hub.resolve("hf://datasets/team/unheard-of")


def test_what_is_not_there_is_remembered(world: World) -> None:
    for _ in range(2):
        with pytest.raises(NotFoundError, match="no dataset team/none"):
            world.hub().resolve("hf://datasets/team/none")
    assert len(world.fake.log) == 1
    world.fake.die()
    with pytest.raises(NotFoundError, match="no dataset team/none"):
        world.hub().resolve("hf://datasets/team/none", fresh_seconds=0)


def test_what_comes_into_being_is_found(world: World) -> None:
    hub = world.hub()
    with pytest.raises(NotFoundError):
        hub.resolve("hf://datasets/team/late")
    world.fake.shelf.add(Repository("team/late", files={"x": "1"}))
    with pytest.raises(NotFoundError):
        hub.resolve("hf://datasets/team/late")
    found = hub.resolve("hf://datasets/team/late", fresh_seconds=0)
    assert hub.resolve("hf://datasets/team/late") == found


def test_a_token_sees_what_was_not_there_for_others(world: World) -> None:
    world.fake.shelf.add(Repository("team/private", files={"x": "1"}, private=True, readers=["ann"]))
    hub = world.hub()
    with pytest.raises(NotFoundError):
        hub.resolve("hf://datasets/team/private")
    assert hub.resolve("hf://datasets/team/private", token="ann").restricted


def test_a_repository_that_was_taken_away_is_no_stale_answer(world: World, repository: Repository) -> None:
    hub = world.hub()
    hub.resolve(REFERENCE)
    repository.disabled = True
    with pytest.raises(AccessError):
        hub.resolve(REFERENCE, fresh_seconds=0)
    assert hub.resolve(REFERENCE, offline=True).commit == repository.head


def test_of_one_that_is_gone_the_error_says_what_can_be_used(world: World, repository: Repository) -> None:
    found = world.hub().fetch(REFERENCE)
    repository.private = True
    with pytest.raises(NotFoundError, match=r"no dataset team/small .*; what the store has .* \(--offline\)"):
        world.hub().resolve(REFERENCE, fresh_seconds=0)
    assert world.hub(offline=True).fetch(REFERENCE) == found


def test_offline_knows_what_the_store_knows(world: World) -> None:
    hub = world.hub(offline=True)
    with pytest.raises(CacheRequiredError, match="forebay fetch hf://datasets/team/small"):
        hub.resolve(REFERENCE)
    assert hub.known(REFERENCE) is None
    assert not world.fake.log
    found = world.hub().resolve(REFERENCE)
    asked = len(world.fake.log)
    assert world.hub(offline=True).resolve(REFERENCE, fresh_seconds=0) == found
    assert len(world.fake.log) == asked


def test_the_hub_s_own_answer_is_kept_without_xet(world: World) -> None:
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    info = hub.info(snapshot)
    assert info["id"] == "team/small"
    assert info["sha"] == snapshot.commit
    assert hub.asked(REFERENCE) == pytest.approx(time.time(), abs=60)


def test_names_are_for_people(world: World, repository: Repository) -> None:
    repository.branch("refs/pr/1")
    hub = world.hub()
    hub.resolve(f"{REFERENCE}@refs/pr/1")
    world.fake.shelf.add(Repository("team/odd.json", files={"x": "1"}))
    hub.resolve("hf://datasets/team/odd.json")
    assert hub.store.names.list("hub/") == [
        "hub/hf/dataset/team/odd%2Ejson/main",
        "hub/hf/dataset/team/small/refs%2Fpr%2F1",
    ]


def test_a_repository_that_becomes_gated_is_marked_so(world: World, repository: Repository) -> None:
    hub = world.hub()
    assert not hub.fetch(REFERENCE).restricted
    repository.gated = "manual"
    snapshot = hub.resolve(REFERENCE, fresh_seconds=0)
    assert snapshot.restricted
    assert world.hub().known(REFERENCE).restricted  # pyright: ignore
    entry = hub.store.get("snapshot", snapshot.key)
    assert entry is not None
    assert entry.meta["fetched"] == "all"


@pytest.mark.parametrize(
    "text",
    [
        "hf://datasets/team/small", "hf://team/model", "hf://spaces/team/metric", "hf://datasets/squad",
        "hf://datasets/team/small@v1", "hf://datasets/team/small@refs/pr/1", "hf://datasets/team/small@a%2Fb.json",
        "hf://datasets/team/rows.json", "ms://datasets/team/small", "ms://datasets/team/small@main", "ms://team/model",
    ],
)  # fmt: skip
def test_a_name_says_what_it_stands_for(world: World, text: str) -> None:
    """Where its facts are lost, as in a bundle."""
    reference = parse(text)
    listing = Listing(Snapshot(reference.hub, reference.type, "team/other", "c" * 40, ()))
    store = world.store()
    Memory(store).save(reference, listing, 1.0)
    [name] = store.names.list("hub/")
    assert reference_named(name) == reference


@pytest.mark.parametrize(
    "name", ["runs/demo", "hub/url/" + "0" * 64, "hub/hf/dataset", "prepared/a/b/c/d/e", "hub/s3/a/b/c"]
)
def test_other_names_stand_for_no_repository(name: str) -> None:
    assert reference_named(name) is None
