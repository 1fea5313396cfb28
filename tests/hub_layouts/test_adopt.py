"""Caches of other programs, taken over."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from forebay.errors import CacheRequiredError, InputError, NotFoundError
from forebay.hub import Hub
from forebay.hub.adopt import adopt
from forebay.hub.views import lay
from forebay.store import Store

from .conftest import World

GSM8K = "hf://datasets/openai/gsm8k"


@pytest.fixture
def cache(world: World, tmp_path: Path) -> Path:
    """A cache as huggingface_hub leaves it (`test_views` shows that it takes a view for one of its own)."""
    with world.store() as store:
        lay(store, "hf", tmp_path / "hf", [GSM8K, "hf://org/model"], way="copy")
    return tmp_path / "hf"


@pytest.fixture
def modelscope(world: World, tmp_path: Path) -> Path:
    with world.store() as store:
        lay(store, "modelscope", tmp_path / "ms", way="copy")
    return tmp_path / "ms"


def blob(cache: Path, end: str) -> Path:
    return next(path for path in cache.rglob("*") if path.is_symlink() and path.as_posix().endswith(end)).resolve()


def test_files_get_a_second_name_and_nothing_is_asked(world: World, cache: Path, tmp_path: Path) -> None:
    before = world.fake.count()
    with world.store(tmp_path / "store") as store:
        told = adopt(store, [cache])
        assert (told.snapshots, told.copied_bytes, told.damaged, told.unnamed) == (3, 0, [], [])
        assert world.fake.count() == before
        path = world.object(store, "hf://org/model", "deep/er/w.safetensors")
        assert path.samefile(blob(cache, "w.safetensors"))
        with Hub(store, world.hub_settings(offline=True)) as hub:
            snapshot = hub.resolve(GSM8K)
            assert (snapshot.commit, snapshot.partial) == (world.commit("openai/gsm8k"), True)
            assert bytes(hub.read(snapshot, "README.md")).startswith(b"---")
        assert store.verify().ok


def test_again_takes_what_is_new(world: World, cache: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shutil.move(cache / "hub" / "models--org--model", away)
    with world.store(tmp_path / "store") as store:
        first = adopt(store, [cache])
        used = store.usage().bytes
        shutil.move(away, cache / "hub" / "models--org--model")
        second = adopt(store, [cache / "hub"])
        assert second.snapshots == first.snapshots + 1
        assert second.copied_bytes == 0
        third = adopt(store, [cache])
        assert third.to_json() == second.to_json()
        assert store.usage().bytes > used


def test_a_damaged_file_is_told_and_left(world: World, cache: Path, tmp_path: Path) -> None:
    path = blob(cache, "models--org--model/snapshots/" + world.commit("org/model") + "/config.json")
    path.chmod(0o644)
    path.write_bytes(b'{"a": 2}')
    large = blob(cache, "w.safetensors")
    large.chmod(0o644)
    with large.open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    with world.store(tmp_path / "store") as store:
        told = adopt(store, [cache])
        assert len(told.damaged) == 2
        assert all("its name says" in text for text in told.damaged)
        with Hub(store, world.hub_settings(offline=True)) as hub, pytest.raises(CacheRequiredError):
            hub.fetch("hf://org/model@" + "0" * 40)
        # fetched from the hub it is whole: the wrong bytes are under no name that it asks for
        with Hub(store, world.hub_settings()) as hub:
            assert bytes(hub.read(hub.fetch("hf://org/model"), "config.json")) == b'{"a": 1}'


def test_the_hub_completes_what_a_cache_had_in_part(world: World, cache: Path, tmp_path: Path) -> None:
    for path in cache.rglob("socratic"):
        shutil.rmtree(path)
    commit = f"{GSM8K}@{world.commit('openai/gsm8k')}"
    with world.store(tmp_path / "store") as store:
        adopt(store, [cache])
        with Hub(store, world.hub_settings()) as hub:
            assert len(hub.resolve(commit, offline=True).files) == 3
            before = world.fake.count("*/resolve/*", method="GET")
            snapshot = hub.fetch(commit)
            assert (len(snapshot.files), snapshot.partial) == (5, False)
            assert world.fake.count("*/resolve/*", method="GET") <= before + 2
        again = adopt(store, [cache])
        assert again.snapshots == 3
        with Hub(store, world.hub_settings(offline=True)) as hub:
            assert len(hub.resolve(commit).files) == 5, "what the hub said stands"


def test_names_that_say_nothing_are_taken_as_found(world: World, cache: Path, tmp_path: Path) -> None:
    """Mirrors send ETags of their own, and some systems have no symbolic links."""
    link = next(path for path in cache.rglob("config.json"))
    odd = link.resolve().with_name("W-an-etag")
    link.resolve().rename(odd)
    link.unlink()
    link.symlink_to(odd)
    plain = next(path for path in (cache / "hub" / "datasets--openai--gsm8k").rglob("README.md"))
    data = plain.read_bytes()
    plain.unlink()
    plain.write_bytes(data)
    with world.store(tmp_path / "store") as store:
        told = adopt(store, [cache])
        assert len(told.unnamed) == 2
        with Hub(store, world.hub_settings(offline=True)) as hub:
            snapshot = hub.resolve("hf://org/model")
            sha1 = hashlib.sha1(b'blob 8\0{"a": 1}').hexdigest()
            assert snapshot.file("config.json").identity == f"git:{sha1}"
        with Hub(store, world.hub_settings()) as hub:
            before = world.fake.count("*/config.json")
            hub.fetch("hf://org/model")
            assert world.fake.count("*/config.json") == before, "its identity is the hub's, so it is there"


def test_modelscope(world: World, modelscope: Path, tmp_path: Path) -> None:
    with world.store(tmp_path / "store") as store:
        told = adopt(store, [modelscope])
        assert (told.snapshots, told.files, told.copied_bytes) == (1, 2, 0)
        lay(store, "modelscope", tmp_path / "view")
        path = tmp_path / "view" / "datasets" / "evalscope--ceval.v1" / "snapshots" / "master" / "data" / "test.csv"
        assert path.samefile(modelscope / path.relative_to(tmp_path / "view"))


def test_modelscopes_older_cache(world: World, modelscope: Path, tmp_path: Path) -> None:
    old = tmp_path / "old" / "hub" / "datasets" / "evalscope" / "ceval___v1"
    shutil.copytree(next(modelscope.rglob("master")), old)
    (old / ".msc").write_bytes(b"a pickle that nobody opens")
    arrow = tmp_path / "old" / "hub" / "datasets" / "evalscope" / "other" / "x.arrow"
    arrow.parent.mkdir()
    arrow.write_bytes(b"")
    with world.store(tmp_path / "store") as store:
        told = adopt(store, [tmp_path / "old"])
        assert (told.snapshots, told.files, len(told.skipped)) == (1, 2, 1)
        with Hub(store, world.hub_settings(offline=True)) as hub:
            snapshot = hub.resolve("ms://datasets/evalscope/ceval.v1")
            assert [file.path for file in snapshot.files] == ["README.md", "data/test.csv"]


def test_another_file_system_is_copied_and_told(world: World, cache: Path, tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    home = shm / f"forebay-test-{tmp_path.name}"
    try:
        with world.store(home) as store:
            told = adopt(store, [cache])
            same_bytes = 2 * (told.bytes - told.copied_bytes)  # gsm8k lies there under two ids, and is kept once
            assert 0 < same_bytes < told.copied_bytes
            assert store.verify().ok
            laid = lay(store, "hf", tmp_path / "view")
            assert set(laid.files) == {"copy"}
            assert laid.copied_bytes == laid.bytes["copy"]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_what_is_no_cache_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(InputError, match="nothing to take over"):
        adopt(store, [tmp_path])
    with pytest.raises(NotFoundError, match="no folder"):
        adopt(store, [tmp_path / "none"])
