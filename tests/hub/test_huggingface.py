"""Hugging Face: revisions, trees, refusals, tokens."""

import pytest

from forebay.errors import AccessError, NotFoundError, OriginError
from forebay.testing import FakeHub, HubFault, Repository

from .conftest import FILES, World  # pyright: ignore


def test_a_revision_is_a_commit_and_its_files(world: World, repository: Repository) -> None:
    snapshot = world.hub().resolve("hf://datasets/team/small")
    commit = repository.at()
    assert snapshot.commit == repository.head
    assert {file.path: (file.size, file.identity) for file in snapshot.files} == {
        path: (file.size, file.identity) for path, file in commit.files.items()
    }
    parquet = snapshot.file("data/train.parquet")
    assert parquet.lfs_sha256 == commit.files["data/train.parquet"].sha256
    assert parquet.git_oid == commit.files["data/train.parquet"].oid
    assert not snapshot.restricted
    assert len(world.fake.log) == 2


def test_branches_tags_and_other_references(world: World, repository: Repository) -> None:
    first = repository.head
    repository.tag("v1", first)
    repository.branch("refs/convert/parquet", first)
    second = repository.commit({"README.md": b"new"})
    hub = world.hub()
    for revision, commit in (("v1", first), ("refs/convert/parquet", first), ("main", second), (first, first)):
        assert hub.resolve(f"hf://datasets/team/small@{revision}").commit == commit


def test_a_tree_in_many_pages(world: World) -> None:
    files = {f"data/{n:05}.txt": f"{n}" for n in range(2345)}
    world.fake.shelf.add(Repository("team/many", files=files))
    snapshot = world.hub().resolve("hf://datasets/team/many")
    assert [file.path for file in snapshot.files] == sorted(files)
    assert world.fake.count("*/tree/*") == 3


def test_pages_are_asked_of_the_endpoint_even_if_links_name_another(world: World) -> None:
    world.fake.huggingface.tree_page = 2
    hub = world.hub(hf_endpoints=(world.fake.hf_endpoint.replace("127.0.0.1", "localhost"),))
    assert len(hub.resolve("hf://datasets/team/small").files) == len(FILES)


def test_models_and_spaces(world: World) -> None:
    world.fake.shelf.add(Repository("team/model", type="model", files={"config.json": "{}"}))
    world.fake.shelf.add(Repository("evaluate-metric/bleu", type="space", files={"bleu.py": "x = 1"}))
    hub = world.hub()
    assert bytes(hub.read(hub.resolve("hf://team/model"), "config.json")) == b"{}"
    assert bytes(hub.read(hub.resolve("hf://spaces/evaluate-metric/bleu"), "bleu.py")) == b"x = 1"


def test_a_renamed_repository_is_followed(world: World, repository: Repository) -> None:
    repository.rename("team/renamed")
    hub = world.hub()
    snapshot = hub.fetch("hf://datasets/team/small")
    assert snapshot.id == "team/renamed"
    again = hub.known("hf://datasets/team/small")
    assert again is not None
    assert again.id == "team/renamed"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("hf://datasets/team/none", "no dataset team/none on"),
        ("hf://datasets/team/small@nope", "no revision 'nope' of team/small on"),
        ("hf://datasets/team/private", "HF_TOKEN"),
    ],
)
def test_what_is_not_there(world: World, reference: str, words: str) -> None:
    world.fake.shelf.add(Repository("team/private", private=True, readers=["ann"]))
    with pytest.raises(NotFoundError, match=words):
        world.hub().resolve(reference)


def test_a_gated_repository_says_where_to_ask(world: World) -> None:
    world.fake.shelf.add(Repository("team/gated", files={"a.txt": "secret"}, gated="manual", readers=["ann"]))
    hub = world.hub()
    snapshot = hub.resolve("hf://datasets/team/gated")
    assert snapshot.restricted
    with pytest.raises(AccessError) as caught:
        hub.fetch(snapshot)
    host = world.fake.hf_endpoint.removeprefix("http://")
    assert f"ask for access at {host}/datasets/team/gated" in str(caught.value)
    assert "HF_TOKEN" in str(caught.value)
    assert hub.file(snapshot, "a.txt") is None
    assert bytes(hub.store.read(hub.fetch_file(snapshot, "a.txt", token="ann").objects[0].digest)) == b"secret"


def test_a_disabled_repository_and_a_bad_token(world: World, repository: Repository) -> None:
    world.fake.shelf.users = {"good": "ann"}
    with pytest.raises(AccessError, match="does not accept the token"):
        world.hub().resolve("hf://datasets/team/small", token="bad")
    repository.disabled = True
    with pytest.raises(AccessError, match="refuses"):
        world.hub().resolve("hf://datasets/team/small")


def test_a_token_goes_to_its_host_and_nowhere_else(world: World, fake: FakeHub) -> None:
    host = fake.hf_endpoint.removeprefix("http://").replace(".", "_").replace(":", "_")
    world.fake.shelf.add(Repository("team/private", files={"w.bin": b"x" * 100}, private=True, readers=["ann"]))
    hub = world.hub(tokens={host: "ann"})
    hub.fetch("hf://datasets/team/private")  # its file comes from the CDN, which refuses tokens
    assert fake.count(host="cdn", status=200) == 1
    assert all("authorization" not in one.headers for one in fake.log if one.host == "cdn")
    assert all(one.headers.get("authorization") == "Bearer ann" for one in fake.log if one.host == "hf")
    stored = b"".join(path.read_bytes() for path in world.home.rglob("*") if path.is_file())
    assert b"Bearer" not in stored
    assert all("Bearer" not in str(event) for event in world.events)


def test_a_redirect_to_another_host_loses_the_token(world: World, fake: FakeHub, second_hub) -> None:
    other = second_hub(Repository("team/small", files=FILES))
    fake.faults.add(HubFault(redirect_to=other.hf_endpoint))
    world.hub().resolve("hf://datasets/team/small", token="ann")
    assert all(one.headers["authorization"] == "Bearer ann" for one in fake.log)
    assert other.log
    assert all("authorization" not in one.headers for one in other.log)


def test_something_that_is_no_hub(world: World, fake: FakeHub) -> None:
    hub = world.hub(hf_endpoints=(f"{fake.hf_endpoint}/api/whoami-v2",))
    with pytest.raises((NotFoundError, OriginError)):
        hub.resolve("hf://datasets/team/small")


def test_xet_is_never_used(world: World) -> None:
    world.fake.shelf.add(Repository("team/xet", files={"w.bin": FILES["data/train.parquet"]}, xet=True))
    hub = world.hub()
    assert bytes(hub.read(hub.fetch("hf://datasets/team/xet"), "w.bin")) == FILES["data/train.parquet"]
    assert world.fake.count("*xet*") == world.fake.count("*team/xet*")
