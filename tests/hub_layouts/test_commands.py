"""`forebay view`, `adopt`, `lock` and `fetch --locked`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forebay.cli.app import forebay
from forebay.hub import FetchOptions, Hub
from forebay.testing import FakeHub, Repository

from .conftest import SUBJECTS, World

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Typed:
    def run(*words: str | Path) -> tuple[int, str, str]:
        code: Any = forebay.main([str(word) for word in words], standalone_mode=False)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_view_and_adopt(world: World, typed: Typed, tmp_path: Path) -> None:
    code, out, _ = typed("view", "hf", tmp_path / "hf", "hf://org/model", "--by", "copy", "--home", world.home)
    assert code == 0
    assert "2 files copied" in out
    assert f"HF_HOME={tmp_path / 'hf'} HF_HUB_OFFLINE=1" in out
    code, out, _ = typed("adopt", tmp_path / "hf", "--home", tmp_path / "store")
    assert (code, out.splitlines()[0].partition(",")[0]) == (0, "1 snapshot: 2 files")
    code, out, _ = typed("view", "hf", tmp_path / "hf", "--home", tmp_path / "store", "--json")
    assert json.loads(out)["files"] == {"kept": 2}
    next((tmp_path / "hf").rglob("config.json")).resolve().unlink()
    for path in (tmp_path / "store" / "objects-v1").rglob("*"):
        if path.is_file() and path.stat().st_size == 8:
            path.unlink()
    code, out, _ = typed("view", "hf", tmp_path / "hf", "--home", tmp_path / "store")
    assert code == 1
    assert "missing: hf://org/model: config.json" in out


def test_what_is_named_and_of_another_hub_is_no_success(world: World, typed: Typed, tmp_path: Path) -> None:
    code, out, _ = typed("view", "modelscope", tmp_path / "ms", "hf://org/model", "--home", world.home)
    assert (code, out.splitlines()[0]) == (1, "nothing to lay out")
    assert "of another hub" in out.lower()


@pytest.mark.parametrize("kind", ["datasets", "evalscope"])
def test_a_model_among_datasets_is_named(kind: str, world: World, typed: Typed, tmp_path: Path) -> None:
    code, out, _ = typed("view", kind, tmp_path / "v", "hf://org/model", "--home", world.home)
    assert (code, out) == (1, "nothing to lay out\nleft out, being no dataset: hf://org/model\n")


@pytest.mark.parametrize("kind", ["datasets", "evalscope"])
def test_a_store_of_models_alone_says_why_there_is_nothing(
    kind: str, world: World, typed: Typed, tmp_path: Path
) -> None:
    home = tmp_path / "store"
    with world.store(home) as store, Hub(store, world.hub_settings()) as hub:
        hub.fetch("hf://org/model")
    code, out, _ = typed("view", kind, tmp_path / "v", "--home", home)
    assert (code, out) == (0, "nothing to lay out\nleft out, being no dataset: hf://org/model\n")


@pytest.mark.parametrize("kind", ["hf", "datasets"])
def test_links_into_the_store_are_told_to_dangle_one_day(kind: str, world: World, typed: Typed, tmp_path: Path) -> None:
    arguments = ("view", kind, tmp_path / "v", "--by", "symlink", "--home")
    assert "eviction leaves them dangling" in typed(*arguments, world.home)[1].replace("\n    ", " ")
    assert typed(*arguments, tmp_path / "empty")[1] == "nothing to lay out\n"


def test_a_view_can_be_pasted_and_says_how_to_get_the_rest(world: World, typed: Typed, tmp_path: Path) -> None:
    folder = tmp_path / "a view #1"
    code, out, _ = typed("view", "hf", folder, "hf://org/model", "--home", world.home)
    assert (code, out.splitlines()[-1]) == (0, f"HF_HOME='{folder}' HF_HUB_OFFLINE=1")
    home, mmlu = tmp_path / "store", "hf://datasets/cais/mmlu"
    with world.store(home) as store, Hub(store, world.hub_settings()) as hub:
        hub.fetch(mmlu, FetchOptions(include=["README.md", f"{SUBJECTS[0]}/*"]))
    code, out, _ = typed("view", "hf", folder, f"{mmlu}#{SUBJECTS[0]}", "--home", home)
    assert (code, "missing" in out) == (0, False)
    code, out, _ = typed("view", "hf", folder, "--home", home)
    assert code == 1
    assert f"`forebay fetch {mmlu}`, where there is a network, brings it" in out
    code, out, _ = typed("view", "datasets", tmp_path / "arrow", f"{mmlu}#{SUBJECTS[1]}", "--home", home)
    assert code == 1
    assert f"missing: {mmlu}#{SUBJECTS[1]}: not in the store" in out
    assert f"`forebay fetch {mmlu}#{SUBJECTS[1]}`, where there is a network, brings it" in out


def test_errors_are_one_line(typed: Typed, tmp_path: Path) -> None:
    code, _, err = typed("view", "hf", tmp_path / "v", "hf://datasets/a/b")
    assert (code, err.count("\n")) == (2, 1)
    assert "`forebay fetch hf://datasets/a/b` first" in err
    code, _, err = typed("fetch", "--locked", "--lock", tmp_path / "none")
    assert (code, "no lock file" in err) == (2, True)
    assert typed("fetch", "--locked", "--update")[0] == 2
    assert typed("fetch", "hf://a/b", "--lock", tmp_path / "x")[0] == 2


def test_lock(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repository = Repository("org/rows", files={"a.csv": "1\n"})
    old = repository.at().sha
    with FakeHub([repository]) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.hf_endpoint)
        assert typed("fetch", "--update", "hf://datasets/org/rows", "--home", "one", "-q")[0] == 0
        assert f'commit = "{old}"' in Path("forebay.lock").read_text()
        assert typed("lock", "diff", "--home", "one")[:2] == (0, "nothing has moved\n")
        repository.commit({"a.csv": "2\n"})
        code, out, _ = typed("lock", "diff", "--home", "one")
        assert code == 1
        assert out.splitlines()[0] == f"~ hf://datasets/org/rows: {old[:12]} → {repository.at().sha[:12]}"
        assert out.splitlines()[1] == "    ~ a.csv"
        code, out, _ = typed("fetch", "--locked", "--home", "two", "--json")
        assert [each["commit"] for each in json.loads(out)["snapshots"]] == [old]
        Path("forebay.lock").rename("old.lock")
        assert typed("fetch", "--update", "hf://datasets/org/rows", "--home", "one", "-q")[0] == 0
        code, out, _ = typed("lock", "diff", "old.lock", "forebay.lock", "--json")
        assert (code, json.loads(out)[0]["changed"]) == (1, ["a.csv"])
        assert typed("fetch", "--locked", "--offline", "--home", "one", "-q")[0] == 0
        assert typed("lock", "diff", "--offline", "--home", "one")[0] == 0


def test_what_was_known_is_not_what_is_meant_now(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that is down, and a repository that is gone, tell nothing; `--offline` asks for what the store knows."""
    monkeypatch.chdir(tmp_path)
    repositories = [Repository(f"org/{name}", files={"a.csv": "1\n"}) for name in ("gone", "kept")]
    lines = [f"hf://datasets/{each.id}" for each in repositories]
    with FakeHub(repositories) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.hf_endpoint)
        assert typed("fetch", "--update", *lines, "--home", "one", "-q")[0] == 0
        repositories[0].private = True
        repositories[1].commit({"a.csv": "2\n"})
        code, out, _ = typed("lock", "diff", "--home", "one")
        assert (code, [line[0] for line in out.splitlines()]) == (1, ["~", " ", "?"])
        told = json.loads(typed("lock", "diff", "--home", "one", "--json")[1])
        assert [each["kind"] for each in told] == ["moved", "unknown"]
        assert typed("fetch", "--update", "--home", "one", "-q")[0] == 2
    locked = Path("forebay.lock").read_text()
    code, out, err = typed("lock", "diff", "--home", "one")
    assert (code, out.count("\n? hf://"), "nothing" in out, err) == (1, 1, False, "")
    assert typed("fetch", "--update", "--home", "one", "-q")[0] == 1
    assert Path("forebay.lock").read_text() == locked
    code, out, err = typed("lock", "diff", "--offline", "--home", "one")
    assert (code, out) == (0, "nothing has moved\n")
    assert f"it means {repositories[1].at().sha[:12]} by now" in err
    assert typed("fetch", "--update", "--offline", "--home", "one", "-q")[0] == 0
    assert Path("forebay.lock").read_text() == locked


CARD = """---
configs:
- {config_name: one, data_files: one.csv}
- {config_name: two, data_files: two.csv}
---
"""


def test_what_is_chosen_is_locked_and_not_what_else_is_there(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who fetches by the lock would have to fetch the rest as well. What was locked before stays locked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "store"))
    files = {"README.md": CARD, "one.csv": "a\n1\n", "two.csv": "a\n2\n", "x.txt": "x"}
    repository = Repository("org/rows", files=files)

    def locked() -> set[str]:
        return {
            line.partition('path = "')[2].partition('"')[0] for line in Path("forebay.lock").read_text().splitlines()
        } - {""}

    with FakeHub([repository]) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.hf_endpoint)
        assert typed("fetch", "hf://datasets/org/rows", "-q")[0] == 0
        assert typed("fetch", "--update", "hf://datasets/org/rows#one", "-q")[0] == 0
        assert locked() == {"README.md", "one.csv"}
        repository.commit({"one.csv": "a\n3\n"})
        assert typed("fetch", "--update", "hf://datasets/org/rows", "--include", "x.*", "-q")[0] == 0
        assert locked() == {"README.md", "one.csv", "x.txt"}
        assert typed("fetch", "--locked", "--home", "other", "-q")[0] == 0
        code, _, err = typed("fetch", "--offline", "hf://datasets/org/rows#two", "--home", "other", "-q")
        assert (code, "two.csv" in err) == (2, True)
        assert typed("fetch", "--update", "hf://datasets/org/rows", "-q")[0] == 0
        assert locked() == set(files)


def test_rm_of_a_repository(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes with its files and what was prepared of it, as far as no other commit of it needs them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "store"))
    repository = Repository("org/rows", files={"a.csv": "a\n1\n", "b.csv": "a\n2\n"})
    with FakeHub([repository, Repository("org/other", files={"b.csv": "a\n2\n"})]) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.hf_endpoint)
        old = repository.at().sha
        for reference in ("hf://datasets/org/other", f"hf://datasets/org/rows@{old}"):
            assert typed("fetch", reference, "-q")[0] == 0
        repository.commit({"a.csv": "a\n3\n"})
        assert typed("fetch", "hf://datasets/org/rows", "-q")[0] == 0

        assert typed("pin", "hf://datasets/org/rows")[0] == 0
        code, _, err = typed("rm", f"hf://datasets/org/rows@{old}", "hf://datasets/org/rows")
        assert (code, "is pinned; forebay unpin" in err) == (2, True)
        code, out, _ = typed("rm", f"hf://datasets/org/rows@{old}")  # nothing went before
        assert (code, out.endswith(" and 2 entries that only it needed\n")) == (0, True)  # a.csv, by both its names
        assert typed("fetch", "--offline", "hf://datasets/org/rows", "-q")[0] == 0

        assert typed("unpin", "hf://datasets/org/rows")[0] == 0
        assert typed("rm", "hf://datasets/org/rows")[0] == 0
        rows = json.loads(typed("ls", "--json")[1])
        assert {row["dataset"] for row in rows} == {"hf://datasets/org/other"}
        assert typed("fetch", "--offline", "hf://datasets/org/other", "-q")[0] == 0
        assert typed("fetch", "hf://datasets/org/rows", "-q")[0] == 0
        assert typed("verify")[0] == 0


def test_rm_of_a_repository_takes_what_was_prepared(world: World, typed: Typed, tmp_path: Path) -> None:
    home = tmp_path / "store"
    with world.store(home) as store, Hub(store, world.hub_settings()) as hub:
        hub.fetch("hf://datasets/cais/mmlu")
    assert typed("view", "datasets", tmp_path / "v", "--home", home)[0] == 0
    kinds = {row["kind"] for row in json.loads(typed("ls", "--home", home, "--json")[1])}
    assert kinds >= {"snapshot", "file", "prepared"}
    gone = json.loads(typed("rm", "hf://datasets/cais/mmlu", "--home", home, "--json")[1])["removed"]
    assert {each["kind"] for each in gone} == kinds
    assert json.loads(typed("ls", "--home", home, "--json")[1]) == []
