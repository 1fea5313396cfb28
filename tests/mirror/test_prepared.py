"""`forebay exec --prepared`: datasets of many configurations come from prepared Arrow, everything else as ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forebay.config import HubSettings, resolve
from forebay.hub import FetchOptions, Hub, Snapshot
from forebay.hub.arrowview import cached_name
from forebay.hub.covering import cover, make_cover
from forebay.mirror.caches import bring_home, home_of, lay_links
from forebay.mirror.shelf import LARGE_CARD_BYTES, Shelf
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


def test_online_what_is_prepared_whole_is_taken(execute, hub: Hub) -> None:
    first, told = execute(LOAD)
    assert "prepared" not in told
    again, told = execute(LOAD)
    assert "prepared" not in told
    assert hub.file(hub.resolve(MMLU), "all/test-00000-of-00001.parquet") is None
    assert "3 loads of prepared datasets" in execute(LOAD, "--prepared")[1]
    third, told = execute(LOAD)
    assert "3 loads of prepared datasets" in told
    assert [json.loads(each) | {"cache": "", "links": 0} for each in (again, third)] == [
        json.loads(first) | {"cache": "", "links": 0}
    ] * 2
    assert "prepared" not in execute(LOAD, "--no-prepared")[1]


def test_online_files_of_the_program_s_choice_are_read_through_the_mirror(execute, hub: Hub) -> None:
    hub.fetch(MMLU)
    make_cover(hub, hub.resolve(MMLU))
    for _ in range(2):
        printed, told = execute(FILES)
        assert printed.split() == ["4", "4", "4"]
        assert "prepared" not in told


def test_online_a_new_commit_is_seen(execute, hub: Hub, repository: Repository) -> None:
    hub.fetch(MMLU)
    make_cover(hub, hub.resolve(MMLU))
    before, _ = execute(LOAD, "--fresh-seconds", "0")
    assert "3 loads of prepared datasets" in execute(LOAD, "--fresh-seconds", "0")[1]
    other = repository.file("virology/test-00000-of-00001.parquet").read()
    repository.commit({"anatomy/test-00000-of-00001.parquet": other})
    after, told = execute(LOAD, "--fresh-seconds", "0")
    assert "prepared" not in told
    assert json.loads(after)["anatomy"] == json.loads(before)["virology"]


MAPPED = """
from datasets import load_dataset
from pathlib import Path
rows = load_dataset("cais/mmlu", "anatomy", split="test")
made = rows.map(lambda row: {"length": len(row["question"])})
print(made.cache_files[0]["filename"], Path(made.cache_files[0]["filename"]).resolve())
print(list(made["length"]) == [len(each) for each in rows["question"]])
"""


def test_what_was_computed_of_rows_is_found_by_the_next_run(execute, hub: Hub, tmp_path: Path) -> None:
    hub.fetch(MMLU)
    make_cover(hub, hub.resolve(MMLU))
    execute(LOAD)
    kept = tmp_path / ".cache" / "huggingface" / "datasets"
    results = lambda: {path: path.stat().st_mtime_ns for path in kept.glob("cais___mmlu/anatomy/*/*/cache-*")}  # noqa: E731
    for found in results():
        found.unlink()
    first, told = execute(MAPPED)
    assert "1 load of prepared datasets" in told
    [(path, second)] = results().items()
    assert not path.is_symlink()
    again, told = execute(MAPPED)
    assert "1 load of prepared datasets" in told
    assert (Path(again.split()[1]), results()) == (path, {path: second})
    assert first.split()[-1] == again.split()[-1] == "True"
    through, told = execute(MAPPED, "--no-prepared")
    assert "prepared" not in told
    assert (Path(through.split()[1]), results()) == (path, {path: second})


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


def test_online_no_load_waits_for_what_is_not_prepared(
    hub: Hub, tmp_path: Path, fake: FakeHub, wait_until, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    snapshot = hub.fetch(MMLU)
    fake.die()
    asked, goes_on = threading.Event(), threading.Event()

    def patient(*arguments: Any, **options: Any) -> Any:
        asked.set()
        assert goes_on.wait(60)
        return make_cover(*arguments, **options)

    monkeypatch.setattr("forebay.mirror.shelf.make_cover", patient)
    monkeypatch.setattr("forebay.mirror.shelf._MANY_LOADS", 2)
    shelf = Shelf(hub, tmp_path / "cache", kept=None, offline=False, waits=False)
    leave(tmp_path, "anatomy")
    assert not shelf.takes(snapshot)
    assert not asked.is_set()  # one configuration is not worth it
    leave(tmp_path, "virology")
    assert not shelf.takes(snapshot)
    assert asked.wait(60)
    assert not shelf.takes(snapshot)
    goes_on.set()
    wait_until(lambda: shelf.takes(snapshot), 60)
    shelf.close()


def test_online_nothing_is_fetched_to_be_prepared(
    hub: Hub, tmp_path: Path, fake: FakeHub, wait_until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forebay.mirror.shelf._MANY_LOADS", 1)
    snapshot = fetch_only(hub, "anatomy", "README.md")
    leave(tmp_path, "anatomy")
    fake.forget()
    shelf = Shelf(hub, tmp_path / "cache", kept=None, offline=False, waits=False)
    assert not shelf.takes(snapshot)

    def is_held() -> bool:
        found = cover(hub, snapshot)
        return found is not None and found.held

    wait_until(is_held, 60)
    assert not shelf.takes(snapshot)  # what is not whole is not taken
    assert fake.count() == 0
    shelf.close()


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


def test_what_no_other_cache_has_is_moved_there(tmp_path: Path) -> None:
    kept, seen = tmp_path / "kept", tmp_path / "seen"
    seen.mkdir()
    lay_links(seen, kept)
    for name in ("org___laid/c/0.0.0/1/cache-x.arrow", "org___laid/d/0.0.0/1/cache-y.arrow", "odd/default/1/2/x.arrow"):
        (seen / name).parent.mkdir(parents=True)
        (seen / name).write_text(name)
    (seen / "org___laid/c/0.0.0/1/mmlu-test.arrow").symlink_to(tmp_path / "object")
    (kept / "org___laid/c/0.0.0/1").mkdir(parents=True)
    bring_home(seen, kept)
    assert (kept / "odd/default/1/2/x.arrow").read_text() == "odd/default/1/2/x.arrow"
    assert [path.name for path in (kept / "org___laid").rglob("*") if not path.is_dir()] == ["cache-x.arrow"]


def test_a_cache_that_may_not_be_written_costs_the_command_nothing(execute, tmp_path: Path) -> None:
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / ".cache" / "huggingface" / "datasets").write_text("no folder")
    printed, _ = execute("print(1)")
    assert printed == "1\n"


def test_versions_that_cannot_read_a_folder_have_another(tmp_path: Path) -> None:
    """In the cache that is shared a dataset has one folder for all versions of the library."""
    made = tmp_path / "a___b" / "default" / "0.0.0" / "abc" / "dataset_info.json"
    assert home_of(tmp_path, "a___b", "3.6.0") == tmp_path / "a___b"
    made.parent.mkdir(parents=True)
    made.write_text('{"features": {"x": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"}}}')
    assert home_of(tmp_path, "a___b", "3.6.0") == tmp_path / "a___b"
    made.write_text('{"features": {"x": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}}}')
    older = home_of(tmp_path, "a___b", "3.6.0")
    assert older == tmp_path / "older-datasets" / "a___b"
    assert {home_of(tmp_path, "a___b", version) for version in ("4.0.0", "5.2.0", "")} == {tmp_path / "a___b"}
    older.mkdir(parents=True)
    (tmp_path / "shown").mkdir()
    lay_links(tmp_path / "shown", tmp_path)
    assert "older-datasets" not in os.listdir(tmp_path / "shown")


def test_each_load_sees_its_own_version_s_folder(hub: Hub, shelf: Shelf, tmp_path: Path) -> None:
    snapshot, link = hub.resolve(HELLASWAG), tmp_path / "cache" / "Rowan___hellaswag"
    info = tmp_path / "kept" / "Rowan___hellaswag" / "default" / "0.0.0" / "abc" / "dataset_info.json"
    info.parent.mkdir(parents=True)
    info.write_text('{"_type": "List"}')
    for version, folder in (("5.2.0", "."), ("3.6.0", "older-datasets"), ("4.8.4", ".")):
        assert not shelf.takes(snapshot, version)
        assert link.resolve() == tmp_path / "kept" / folder / "Rowan___hellaswag"
