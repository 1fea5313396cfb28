"""`forebay exec --prepared`: datasets of many configurations come from prepared Arrow, everything else as ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forebay.config import HubSettings, resolve
from forebay.hub import FetchOptions, Hub, Snapshot
from forebay.hub.covering import cover, make_cover
from forebay.mirror.shelf import LARGE_CARD_BYTES, Shelf, cached_name, lay_links
from forebay.store import Store
from forebay.testing import FakeHub, Repository
from forebay.testing.tinydata import hellaswag, mmlu

SUBJECTS = ("anatomy", "virology", "sociology")
HELLASWAG = "hf://datasets/Rowan/hellaswag"
MMLU = "hf://datasets/cais/mmlu"
LOAD = """
import json, os
from datasets import load_dataset
told = {}
for name in ("anatomy", "virology", "sociology"):
    rows = load_dataset("cais/mmlu", name, split="test")
    told[name] = list(rows["question"])
    folder = os.path.dirname(rows.cache_files[0]["filename"])
    told["links"] = sum(os.path.islink(os.path.join(folder, each)) for each in os.listdir(folder))
    rows.map(lambda row: {"length": len(row["question"])})
told["cache"] = os.environ.get("HF_DATASETS_CACHE")
print(json.dumps(told))
"""
FILES = """
from datasets import load_dataset
for name in ("anatomy", "virology", "sociology"):
    files = {"test": name + "/test-00000-of-00001.parquet"}
    print(load_dataset("cais/mmlu", data_files=files, split="test").num_rows)
"""


@pytest.fixture
def repository() -> Repository:
    made = mmlu(subjects=SUBJECTS)
    card = made.file("README.md").read()
    made.commit({"README.md": card + b"\n" + b"x" * LARGE_CARD_BYTES})
    return made


@pytest.fixture
def fake(repository: Repository) -> Iterator[FakeHub]:
    with FakeHub([repository, hellaswag()]) as hub:
        yield hub


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(resolve(home=tmp_path / "store")) as store:
        yield store


@pytest.fixture
def hub(store: Store, fake: FakeHub) -> Iterator[Hub]:
    with Hub(store, HubSettings((fake.hf_endpoint,), attempts=1, fresh_seconds=0.0)) as hub:
        yield hub


@pytest.fixture
def execute(tmp_path: Path, fake: FakeHub) -> Callable[..., tuple[str, str]]:
    """Run a script by `forebay exec`; return what it printed, and the last line of ours."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    environ = kept | {"FOREBAY_HOME": str(tmp_path / "store"), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    environ |= {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}

    def run(code: str, *arguments: str) -> tuple[str, str]:
        command = [sys.executable, "-m", "forebay.cli", "exec", "--upstream", fake.hf_endpoint, *arguments]
        command += ["--", sys.executable, "-c", code]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout, done.stderr.splitlines()[-1]

    return run


# Unmodified programs


def test_the_second_load_on_comes_from_prepared_arrow(execute, hub: Hub, fake: FakeHub, tmp_path: Path) -> None:
    hub.fetch(MMLU)
    fake.forget()
    first, told = execute(LOAD, "--offline")
    assert "2 loads of prepared datasets" in told  # the first load shows what the program does
    second, told = execute(LOAD, "--offline")
    assert "3 loads of prepared datasets" in told
    assert "0 read through" in told
    one, other = json.loads(first), json.loads(second)
    assert [one[name] for name in SUBJECTS] == [other[name] for name in SUBJECTS]
    assert len({tuple(one[name]) for name in SUBJECTS}) == 3
    assert other["links"] > 0
    assert not Path(other["cache"]).exists()
    assert fake.count() == 0
    execute(LOAD, "--offline", "--private-caches")
    with Store.open(resolve(home=tmp_path / "store")) as store:  # what the program wrote lies beside the links
        assert store.verify().ok


def test_it_gives_what_the_mirror_gives(execute, hub: Hub) -> None:
    hub.fetch(MMLU)
    make_cover(hub, hub.resolve(MMLU))
    plain, told = execute(LOAD, "--offline", "--no-prepared")
    assert "prepared" not in told
    prepared, told = execute(LOAD, "--offline")
    assert "3 loads of prepared datasets" in told
    one, other = json.loads(plain), json.loads(prepared)
    assert [one[name] for name in SUBJECTS] == [other[name] for name in SUBJECTS]
    assert (one["links"], one["cache"]) == (0, None)


def test_files_of_the_program_s_choice_are_read_through_the_mirror(execute, hub: Hub) -> None:
    hub.fetch(MMLU)
    make_cover(hub, hub.resolve(MMLU))
    for _ in range(2):
        printed, told = execute(FILES, "--offline")
        assert printed.split() == ["4", "4", "4"]
        assert "prepared" not in told


def test_online_it_is_asked_for(execute, fake: FakeHub) -> None:
    printed, told = execute(LOAD)
    assert "prepared" not in told
    assert json.loads(printed)["cache"] is None
    assert "3 loads of prepared datasets" in execute(LOAD, "--prepared")[1]


def fetch_only(hub: Hub, *paths: str) -> Snapshot:
    return hub.fetch(MMLU, FetchOptions(include=paths))


# The shelf


@pytest.fixture
def shelf(hub: Hub, tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "cache").mkdir()
    made = Shelf(hub, tmp_path / "cache", kept=tmp_path / "kept", offline=True)
    yield made
    made.close()


def leave(tmp_path: Path, *names: str, dataset: str = "cais___mmlu") -> None:
    for name in names:
        (tmp_path / "cache" / dataset / name).mkdir(parents=True)


def test_a_small_card_is_left_to_the_library(shelf: Shelf, hub: Hub, tmp_path: Path) -> None:
    snapshot = hub.fetch(HELLASWAG)
    leave(tmp_path, "default", dataset="Rowan___hellaswag")
    assert not shelf.takes(snapshot)


def test_a_dataset_that_was_never_loaded_is_kept_where_it_always_is(shelf: Shelf, hub: Hub, tmp_path: Path) -> None:
    assert not shelf.takes(hub.fetch(MMLU))
    assert (tmp_path / "cache" / "cais___mmlu").resolve() == tmp_path / "kept" / "cais___mmlu"
    (tmp_path / "kept" / "cais___mmlu" / "anatomy").mkdir()
    assert shelf.takes(hub.resolve(MMLU))
    assert not (tmp_path / "cache" / "cais___mmlu").is_symlink()
    assert list((tmp_path / "kept" / "cais___mmlu" / "anatomy").iterdir()) == []
    assert shelf.loads == 1


def test_of_two_commits_neither_is_taken_from_the_cache(
    shelf: Shelf, hub: Hub, repository: Repository, tmp_path: Path
) -> None:
    old = hub.fetch(MMLU)
    leave(tmp_path, "anatomy")
    assert shelf.takes(old)
    repository.commit({"LICENSE": "none"})
    assert not shelf.takes(hub.fetch(MMLU))
    assert not shelf.takes(old)


def test_under_an_older_name_too(shelf: Shelf, hub: Hub, tmp_path: Path) -> None:
    snapshot = hub.fetch(MMLU)
    leave(tmp_path, "anatomy")
    assert shelf.takes(snapshot)
    shelf.renamed("mmlu", "cais/mmlu")
    assert shelf.takes(snapshot)
    assert {path.name for path in (tmp_path / "cache" / "mmlu").iterdir()} >= {"anatomy", "all"}


def test_what_is_not_whole_is_not_taken_online(hub: Hub, tmp_path: Path, fake: FakeHub) -> None:
    snapshot = fetch_only(hub, "anatomy", "README.md")
    found = make_cover(hub, snapshot)
    assert found is not None
    assert (found.held, found.whole) == (True, False)
    assert {one.configuration for one in found.prepared} == {"anatomy"}
    leave(tmp_path, "anatomy")
    fake.die()
    online = Shelf(hub, tmp_path / "cache", kept=None, offline=False)
    assert not online.takes(snapshot)
    offline = Shelf(hub, tmp_path / "cache", kept=None, offline=True)
    assert offline.takes(snapshot)
    offline.close()


def test_what_came_since_is_prepared_too(hub: Hub) -> None:
    snapshot = fetch_only(hub, "anatomy", "README.md")
    make_cover(hub, snapshot)
    fetch_only(hub, "virology")
    found = cover(hub, snapshot)
    assert found is not None
    assert not found.held
    found = make_cover(hub, snapshot)
    assert found is not None
    assert {one.configuration for one in found.prepared} == {"anatomy", "virology"}


@pytest.mark.parametrize(
    "id", ["cais/mmlu", "squad", "org/BigCaseABC", "Org/aB1C-x", "allenai/ai2_arc", "a/HTMLPages2Go"]
)
def test_names_are_the_library_s(id: str) -> None:  # noqa: A002
    from datasets.naming import camelcase_to_snakecase

    space, _, name = id.rpartition("/")
    assert cached_name(id) == "___".join([*([space] if space else []), camelcase_to_snakecase(name)])


def test_a_cache_seen_through_links(tmp_path: Path) -> None:
    (tmp_path / "kept" / "org___name").mkdir(parents=True)
    (tmp_path / "seen").mkdir()
    lay_links(tmp_path / "seen", tmp_path / "kept")
    (tmp_path / "seen" / "json" / "default").mkdir()
    assert (tmp_path / "kept" / "json" / "default").is_dir()
    assert (tmp_path / "seen" / "org___name").is_symlink()
