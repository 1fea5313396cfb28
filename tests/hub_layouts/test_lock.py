"""Lock files: written, read strictly, followed, compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.errors import InputError, NotFoundError, StoreError, WrongBytesError
from forebay.hub import Hub
from forebay.hub import lock as locks
from forebay.hub.lock import Lock, LockedFile, LockedRepository
from forebay.store import Store
from forebay.testing import FakeHub, Repository

from .conftest import World

REFERENCE = "hf://datasets/Rowan/hellaswag"
HEX = "0123456789abcdef"


def hexes(size: int) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=size, max_size=size)


paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1).filter(
    lambda text: text not in (".", "..")
)
files = st.builds(
    LockedFile,
    paths,
    st.integers(0, 2**60),
    hexes(64).map("sha256:".__add__) | hexes(40).map("git:".__add__),
    hexes(64),
)
ids = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,8}/[A-Za-z0-9_][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda text: text.partition("/")[0] not in ("datasets", "models", "spaces", "dataset", "model")
)
repositories = st.builds(
    LockedRepository,
    ids.map("hf://datasets/".__add__),
    hexes(40),
    st.lists(files, max_size=4, unique_by=lambda file: file.path).map(
        lambda found: tuple(sorted(found, key=lambda file: file.path))
    ),
    st.sampled_from(["", "other/id"]),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(repositories, max_size=4))
def test_what_is_written_is_read(rows: list[LockedRepository]) -> None:
    lock = Lock().with_(rows)
    assert locks.loads(lock.dumps()) == lock
    assert locks.loads(lock.dumps()).dumps() == lock.dumps()


def test_one_that_cannot_be_written_is_told_and_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "none" / "x.lock"):
        with pytest.raises(StoreError, match=f"cannot write {path}: .*; --lock FILE names another place"):
            locks.write(path, Lock())
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_one_that_may_not_be_read_is_not_told_to_be_toml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^cannot read {tmp_path}: Is a directory; name a file that you may read$"):
        locks.read(tmp_path)
    (tmp_path / "latin.lock").write_bytes(b"\xff")
    with pytest.raises(InputError, match="it must be TOML"):
        locks.read(tmp_path / "latin.lock")


def test_a_fetched_snapshot_is_locked_with_all_it_takes(world: World, store: Store, tmp_path: Path) -> None:
    with Hub(store, world.hub_settings()) as hub:
        snapshot = hub.fetch(REFERENCE)
    row = locks.locked(store, REFERENCE, snapshot)
    assert (row.commit, row.id, row.partial, len(row.files)) == (world.commit("Rowan/hellaswag"), "", False, 4)
    assert locks.write(tmp_path / "forebay.lock", Lock((row,)))
    assert not locks.write(tmp_path / "forebay.lock", Lock((row,)))
    assert locks.read(tmp_path / "forebay.lock") == Lock((row,))
    renamed = locks.locked(store, "hf://datasets/gsm8k", _known(world, store, "hf://datasets/gsm8k"))
    assert renamed.id == "openai/gsm8k"
    assert renamed.snapshot.id == "openai/gsm8k"


def _known(world: World, store: Store, reference: str):
    with Hub(store, world.hub_settings()) as hub:
        found = hub.known(reference)
        assert found is not None
        return found


def wrong_version(text: str) -> str:
    return text.replace("version = 1", "version = 2")


def unknown_key(text: str) -> str:
    return text.replace("commit =", 'colour = "red"\ncommit =')


def wrong_type(text: str) -> str:
    return text.replace("size = 3", 'size = "3"')


def boolean_size(text: str) -> str:
    return text.replace("size = 3", "size = true")


def bad_digest(text: str) -> str:
    return text.replace("b" * 64, "b" * 63 + "G")


def hostile_path(text: str) -> str:
    return text.replace('"a"', '"../a"')


def cut(text: str) -> str:
    return text[: len(text) // 2]


def twice(text: str) -> str:
    return text + text[text.index("[[repository]]") :]


def short_commit(text: str) -> str:
    return text.replace("c" * 40, "c" * 12)


@pytest.mark.parametrize(
    "spoil",
    [wrong_version, unknown_key, wrong_type, boolean_size, bad_digest, hostile_path, cut, twice, short_commit],
)
def test_whatever_else_is_refused(spoil: Callable[[str], str]) -> None:
    file = LockedFile("a", 3, f"sha256:{'a' * 64}", "b" * 64)
    text = Lock((LockedRepository(REFERENCE, "c" * 40, (file,)),)).dumps()
    assert locks.loads(text).repositories
    assert spoil(text) != text
    with pytest.raises(InputError):
        locks.loads(spoil(text))


def test_locked_fetches_that_and_not_what_came_later(world: World, tmp_path: Path) -> None:
    repository = Repository("org/rows", files={"a.csv": "1\n", "b.csv": "2\n"})
    with FakeHub([repository]) as fake:
        settings = world.hub_settings(hf_endpoints=(fake.hf_endpoint,), fresh_seconds=0.0)
        with world.store(tmp_path / "one") as store, Hub(store, settings) as hub:
            lock = Lock((locks.locked(store, "hf://datasets/org/rows", hub.fetch("hf://datasets/org/rows")),))
        repository.commit({"a.csv": "3\n", "c.csv": "4\n"})
        with world.store(tmp_path / "two") as store, Hub(store, settings) as hub:
            [row] = lock.chosen(["hf://datasets/org/rows"])
            snapshot = hub.fetch(row.snapshot)
            locks.check(store, row)
            locks.remember(store, row)
            assert bytes(hub.read(snapshot, "a.csv")) == b"1\n"
            assert hub.resolve("hf://datasets/org/rows", offline=True).commit == row.commit
            [change] = locks.diff(lock, Lock((locks.meant_now(row, hub.resolve(row.reference)),)))
            assert (change.kind, change.added, change.removed, change.changed) == ("moved", ("c.csv",), (), ("a.csv",))
        with pytest.raises(NotFoundError, match="not in the lock"):
            lock.chosen(["hf://datasets/org/other"])


def test_other_bytes_under_the_same_identity_are_noticed(world: World, store: Store) -> None:
    row = locks.locked(store, REFERENCE, _known(world, store, REFERENCE))
    forged = LockedFile(row.files[0].path, row.files[0].size, row.files[0].identity, "0" * 64)
    with pytest.raises(WrongBytesError, match="locked is 000000000000"):
        locks.check(store, LockedRepository(row.reference, row.commit, (forged, *row.files[1:])))


def test_differences() -> None:
    file = LockedFile("a", 3, f"sha256:{'a' * 64}", "b" * 64)
    one, two, three = (LockedRepository(f"hf://org/{name}", "c" * 40, (file,)) for name in "xyz")
    changes = locks.diff(Lock((one, two)), Lock((two, three)))
    assert [(change.reference, change.kind) for change in changes] == [
        ("hf://org/x", "removed"),
        ("hf://org/z", "added"),
    ]
    assert locks.diff(Lock((one,)), Lock((one,))) == []
