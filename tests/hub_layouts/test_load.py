"""`forebay.load`: the same rows with and without network, from memory, disk or hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from forebay.errors import BuildError, CacheRequiredError, InputError, NotFoundError, StoreReadOnlyError
from forebay.hub import Hub
from forebay.hub.loading import Load, Tiers
from forebay.hub.preparation import prepare
from forebay.hub.prepared import configurations, find, found_of
from forebay.hub.preparing import neutral
from forebay.store import Store
from forebay.testing import FakeHub, Repository, tinydata

from .conftest import World


@pytest.fixture(scope="module")
def prepared(world: World) -> World:
    """The world, all of gsm8k prepared."""
    with world.store() as store, Hub(store, world.hub_settings()) as hub:
        prepare(hub, hub.resolve("hf://datasets/openai/gsm8k"), offline=True)
    return world


@pytest.fixture
def load() -> Iterator[Load]:
    made = Load()
    yield made
    made.forget()


def pinned(world: World) -> str:
    return f"hf://datasets/openai/gsm8k@{world.commit('openai/gsm8k')}#main"


def test_rows_as_a_table_and_as_a_dataset(prepared: World, store: Store, load: Load) -> None:
    table = load(pinned(prepared), "train", store=store)
    dataset = load(pinned(prepared), "train", as_hf=True, store=store)
    assert table.column_names == ("question", "answer")
    assert len(table) == len(dataset) == 10
    assert table[:] == list(dataset)
    assert table.to_arrow().column("answer").num_chunks == 1
    assert dataset.split == "train"
    assert dataset.info.config_name == "main"


def test_nothing_is_copied(prepared: World, store: Store, load: Load) -> None:
    """Rows are views of the store's own files."""
    dataset = load(pinned(prepared), "train", as_hf=True, store=store)
    [file] = dataset.cache_files
    assert Path(file["filename"]).is_relative_to(store.home / "objects-v1")
    before = pa.total_allocated_bytes()
    load(pinned(prepared), "train", store=store).to_arrow()
    assert pa.total_allocated_bytes() - before < 1000


def test_a_pinned_reference_is_served_from_memory(prepared: World, store: Store, load: Load) -> None:
    before = prepared.fake.count()
    first = load(pinned(prepared), "test", store=store)
    assert load.counters() == Tiers(disk=1)
    assert load(pinned(prepared), "test", store=store) is first
    load(pinned(prepared), "test", as_hf=True, store=store)
    assert load(pinned(prepared), "test", as_hf=True, store=store).num_rows == 10
    assert load.counters() == Tiers(memory=2, disk=2)
    assert prepared.fake.count() == before


def test_a_dataset_from_memory_is_ones_own(prepared: World, store: Store, load: Load) -> None:
    one = load(pinned(prepared), "test", as_hf=True, store=store)
    one.set_format("numpy")
    assert load(pinned(prepared), "test", as_hf=True, store=store).format["type"] is None


def test_only_what_a_configuration_reads_is_fetched(
    world: World, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tinydata.gsm8k(id="org/sums")
    with FakeHub([repository]) as fake, world.store(tmp_path / "store") as store:
        monkeypatch.setenv("HF_ENDPOINT", fake.hf_endpoint)
        table = load("hf://datasets/org/sums#socratic", "train", store=store)
        assert len(table) == 10
        counted = load.counters()
        assert (counted.hub, counted.disk) == (1, 0)
        assert counted.fetched_bytes > 0
        assert fake.count("*/resolve/*/main/*") == 0
        assert fake.count("*/resolve/*/socratic/*", method="GET") >= 2
        fake.die()
        load.forget()
        assert load("hf://datasets/org/sums#socratic", "train", store=store, offline=True)[:] == table[:]
        assert load.counters() == Tiers(disk=1)
        with pytest.raises(CacheRequiredError):
            load("hf://datasets/org/sums#main", "train", store=store, offline=True)


def test_what_is_meant_must_be_clear(prepared: World, store: Store, load: Load) -> None:
    reference = pinned(prepared).partition("#")[0]
    with pytest.raises(InputError, match="several configurations; add #NAME: main, socratic"):
        load(reference, "train", store=store)
    with pytest.raises(NotFoundError, match="no configuration 'mian'"):
        load(f"{reference}#mian", "train", store=store)
    with pytest.raises(NotFoundError, match="no split 'dev'; there are: train, test"):
        load(pinned(prepared), "dev", store=store)
    with pytest.raises(NotFoundError, match="several splits"):
        load(pinned(prepared), store=store)
    with pytest.raises(InputError, match="is a model"):
        load(f"hf://org/model@{prepared.commit('org/model')}", "train", store=store)
    with pytest.raises(InputError, match=r"test_load.py is a file; a recipe reads it: forebay.run\("):
        load(__file__, store=store)


def test_a_store_that_may_not_be_written_serves_what_it_has(prepared: World, load: Load) -> None:
    with prepared.store(read_only=True) as store:
        assert len(load(pinned(prepared), "train", store=store)) == 10
        reference = f"hf://datasets/cais/mmlu@{prepared.commit('cais/mmlu')}#all"
        with Hub(store, prepared.hub_settings(offline=True)) as hub:
            known = find(store, hub.resolve(reference), "all")
        if known is None:  # no other test has prepared it
            with pytest.raises(StoreReadOnlyError, match="prepare it as its owner"):
                load(reference, "test", store=store)


def test_what_is_prepared_is_known_without_the_library(prepared: World, store: Store) -> None:
    with Hub(store, prepared.hub_settings(offline=True)) as hub:
        snapshot = hub.resolve(pinned(prepared))
    known = configurations(store, snapshot)
    assert known is not None
    assert (known.names, known.default) == (("main", "socratic"), None)
    assert [one.configuration for one in found_of(store, snapshot)] == ["main", "socratic"]
    assert all(one.readable == ">=3" for one in found_of(store, snapshot))


def test_what_cannot_be_loaded_says_so(world: World, tmp_path: Path) -> None:
    files = {"README.md": "# a script\n", "script.py": "raise SystemExit\n"}
    broken = {"README.md": "# text\n", "data.json": '{"a": 1}\n{"a": '}
    repositories = [Repository("org/script", files=files), Repository("org/broken", files=broken)]
    with FakeHub(repositories) as fake, world.store(tmp_path / "store") as store:
        with Hub(store, world.hub_settings(hf_endpoints=(fake.hf_endpoint,))) as hub:
            for name in ("script", "broken"):
                with pytest.raises(BuildError, match=f"datasets .* cannot prepare hf://datasets/org/{name}"):
                    prepare(hub, hub.resolve(f"hf://datasets/org/{name}"))
        assert list((store.home / "preparing-v1").iterdir()) == []


def test_features_in_words_that_all_versions_know() -> None:
    value = {"dtype": "int64", "_type": "Value"}
    assert neutral({"a": {"feature": value, "_type": "List"}}) == {"a": [value]}
    assert neutral({"feature": {"x": {"feature": value, "_type": "List"}}, "_type": "List"}) == [{"x": [value]}]
    fixed = {"feature": value, "length": 3, "_type": "List"}
    assert neutral(fixed) == {"feature": value, "length": 3, "_type": "Sequence"}
    records = {"feature": {"x": value}, "length": 3, "_type": "List"}
    assert neutral(records) == records
    import datasets

    features = datasets.Features(
        {"a": datasets.List({"x": datasets.Value("int64")}), "b": datasets.List(datasets.Value("string"), length=2)}
    )
    assert datasets.Features.from_dict(neutral(features.to_dict())) == features


def test_what_a_user_must_know_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Load) -> None:
    repository = Repository("org/rows", files={"a.csv": "x\n1\n"})
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("FOREBAY_FRESH_SECONDS", "0")
    with FakeHub([repository]) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.hf_endpoint)
        rows = load("hf://datasets/org/rows", "train")[:]
    with pytest.warns(RuntimeWarning, match=r"using hf://datasets/org/rows as it was at") as told:
        assert load("hf://datasets/org/rows", "train")[:] == rows
    assert [warning.filename for warning in told] == [__file__]
