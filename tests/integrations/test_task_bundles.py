"""`forebay bundle create --lm-eval`: what tasks load goes along, no more, and works where it is installed."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import Result
from made_hub import Call, typed

from forebay.bundle import open_source
from forebay.config import Settings
from forebay.errors import NotFoundError
from forebay.hub import Hub
from forebay.hub import lock as locks
from forebay.store import Store
from forebay.testing import FakeHub, Repository


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let every test begin in an empty folder, with an empty store."""
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "here"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def moved(path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *options: str) -> Result:
    """Install a bundle in a store and a folder of its own, and stay there."""
    (tmp_path / "far" / "off").mkdir(parents=True)
    bundle = Path(path).absolute()
    monkeypatch.chdir(tmp_path / "far" / "off")
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "far" / "store"))
    return typed("bundle", "install", str(bundle), *options)


def files_of(path: str) -> set[str]:
    """The files of repositories in a bundle, as anyone finds them with tar alone."""
    with open_source(Path(path)) as source:
        listing = next(each for each in source.members if getattr(each.what, "name", "") == "FILES.tsv")
        lines = bytes(source.content(listing)).decode().splitlines()
    return {line.split("\t")[1] for line in lines if "/.forebay/" not in line}


# Here


def test_what_the_store_lacks_is_told_by_task_and_nothing_written(hub: FakeHub, call: Call, place: Path) -> None:
    done = call("bundle", "create", "out.tar", "--lm-eval", "plain_task,family_one", code=1)
    assert "missing: plain_task: hf://datasets/org/plain: is not in the store" in done.stderr
    assert "missing: family_one: hf://datasets/org/family: is not in the store" in done.stderr
    assert "2 of 2 tasks" in done.stderr
    assert "`forebay fetch --lm-eval plain_task,family_one --python" in done.stderr
    assert "--fetch" in done.stderr
    assert not hub.log
    call("fetch", "--lm-eval", "plain_task,family_one")
    with Store.open(Settings(home=place.parent / "here")) as store, Hub(store) as known:
        found = known.known("hf://datasets/org/family")
        assert found is not None
        entry = known.file(found, "one/dev.parquet")
        assert entry is not None
        next((place.parent / "here").rglob(entry.objects[0].digest[2:])).unlink()
    done = call("bundle", "create", "out.tar", "--lm-eval", "plain_task,family_one", code=1)
    assert "missing: family_one: one/dev.parquet of hf://datasets/org/family: is not in the store" in done.stderr
    assert "1 of 2 tasks" in done.stderr
    assert not list(place.iterdir())


def test_what_cannot_be_known_is_told_and_refused_unless_allowed(hub: FakeHub, call: Call, place: Path) -> None:
    call("fetch", "--quiet", "--lm-eval", "plain_task,bare_name,makes", code=1)
    done = call("bundle", "create", "out.tar", "--lm-eval", "plain_task,bare_name,makes", code=1)
    assert "missing: bare_name: dataset xnli: no namespace" in done.stderr
    assert "missing: makes: custom_dataset" in done.stderr
    assert "2 of 3 tasks" in done.stderr
    assert "forebay fetch --lm-eval" not in done.stderr  # it would not help
    assert not list(place.iterdir())
    done = call("bundle", "create", "out.tar", "--lm-eval", "plain_task,bare_name,makes", "--incomplete")
    assert "missing: bare_name" in done.stderr
    assert "wrote out.tar" in done.stdout
    assert "hub/hf/dataset/org/plain/main/default/train.parquet" in files_of("out.tar")


def test_only_the_files_of_the_tasks_go_along(hub: FakeHub, call: Call) -> None:
    typed("fetch", "--quiet", "hf://datasets/org/family", "hf://datasets/org/plain")  # all of both
    call("bundle", "create", "out.tar", "--lm-eval", "family_one")
    folder = "hub/hf/dataset/org/family/main"
    assert {name for name in files_of("out.tar") if name.startswith("hub/")} == {
        f"{folder}/README.md", f"{folder}/one/test.parquet", f"{folder}/one/dev.parquet",
    }  # fmt: skip
    [row] = _lock_in("out.tar").repositories
    assert (row.reference, row.partial) == ("hf://datasets/org/family", True)
    assert [file.path for file in row.files] == ["README.md", "one/dev.parquet", "one/test.parquet"]
    # what is named as an entry goes along whole
    call(
        "bundle",
        "create",
        "more.tar",
        "hub/hf/dataset/org/family",
        "hub/hf/dataset/org/plain",
        "--lm-eval",
        "family_one",
    )
    names = files_of("more.tar")
    assert f"{folder}/unused/test.parquet" in names
    assert "hub/hf/dataset/org/plain/main/default/train.parquet" in names


def _lock_in(path: str) -> locks.Lock:
    with open_source(Path(path)) as source:
        member = next(each for each in source.members if getattr(each.what, "name", "") == "forebay.lock")
        return locks.loads(bytes(source.content(member)).decode())


def test_the_same_tasks_give_the_same_bytes(hub: FakeHub, call: Call) -> None:
    call("bundle", "create", "one.tar", "--lm-eval", "plain_task,metrics", "--fetch", "--incomplete")
    call("bundle", "create", "two.tar", "--lm-eval", "plain_task,metrics", "--incomplete")
    assert Path("one.tar").read_bytes() == Path("two.tar").read_bytes()


def test_options_that_need_tasks(call: Call) -> None:
    assert "--lm-eval or --evalscope" in typed("bundle", "create", "out.tar", code=2).stderr
    assert "are for --lm-eval" in typed("bundle", "create", "out.tar", "runs/x", "--incomplete", code=2).stderr
    assert "--wanted alone" in call("bundle", "create", "o", "--lm-eval", "x", "--wanted", "f", code=2).stderr


# There


def test_tasks_load_where_the_bundle_is_installed(
    hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("datasets")
    told = json.loads(
        call("bundle", "create", "out.tar", "--json", "--lm-eval", "plain_task,family_one", "--fetch").stdout
    )
    assert told["harnesses"][0]["complete"]
    hub.die()
    done = moved("out.tar", monkeypatch, tmp_path)
    assert "wrote forebay.lock" in done.stdout
    assert "2 of 2 load without network" in call("check", "--lm-eval", "plain_task,family_one").stdout
    call("fetch", "--offline", "--lm-eval", "plain_task,family_one")
    call("fetch", "--offline", "--locked", "--lm-eval", "plain_task,family_one")
    laid = typed("view", "hf", "cache", "hf://datasets/org/plain", "--by", "copy")
    assert "3 files" in laid.stdout
    [head] = (Path("cache") / "hub" / "datasets--org--plain" / "refs").iterdir()
    assert (head.name, len(head.read_text())) == ("main", 40)


def test_prepared_arrow_goes_along(hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    done = call("bundle", "create", "out.tar", "--lm-eval", "plain_task,family_one", "--fetch", "--prepare")
    assert "kind  prepared  2" in done.stdout
    assert "kind  configurations  2" in done.stdout
    hub.die()
    moved("out.tar", monkeypatch, tmp_path)
    monkeypatch.setattr("forebay.hub.preparation.library_version", lambda: "")  # nobody there could prepare it
    wanted = ("hf://datasets/org/plain#default", "hf://datasets/org/family#one")
    typed("view", "datasets", "cache", *wanted, "--by", "copy")
    assert len(list(Path("cache").rglob("*.arrow"))) == 4


def test_metrics_and_nltk_data_go_along_and_what_is_known_to_be_absent(
    hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("punkt_tab/english/abbrev_types.txt", "dr")
    hub.shelf.add(Repository("nltk/data", files={"tokenizers/punkt_tab.zip": target.getvalue()}))
    monkeypatch.setenv("FOREBAY_NLTK_SOURCE", f"{hub.hf_endpoint}/datasets/nltk/data/resolve/main")
    call("bundle", "create", "out.tar", "--lm-eval", "scored,metrics", "--fetch", "--incomplete")
    hub.die()
    moved("out.tar", monkeypatch, tmp_path)
    seen = tmp_path / "seen"
    code = f"import os, shutil; shutil.copytree(os.environ['NLTK_DATA'].split(':')[0], {str(seen)!r})"
    typed("exec", "--offline", "--quiet", "--", sys.executable, "-c", code)
    assert (seen / "tokenizers" / "punkt_tab" / "english" / "abbrev_types.txt").read_text() == "dr"
    with Store.open(Settings(home=tmp_path / "far" / "store")) as store, Hub(store) as there:
        metric = there.resolve("hf://spaces/evaluate-metric/exact_match", offline=True)
        assert there.file(metric, "exact_match.py") is not None
        with pytest.raises(NotFoundError):  # which is an answer; not to know would be none
            there.resolve("hf://spaces/evaluate-metric/exact_match@v0.4.6", offline=True)


def test_what_was_read_from_the_harness_goes_along(
    hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call("bundle", "create", "out.tar", "--lm-eval", "plain_task", "--fetch")
    moved("out.tar", monkeypatch, tmp_path)

    def unread(*_: object) -> None:
        raise AssertionError("the harness was read again")

    monkeypatch.setattr("forebay.integrations.lm_tasks.Tasks.closure", unread)
    call("fetch", "--offline", "--lm-eval", "plain_task")


# The lock file


def test_a_lock_file_that_is_there_stays(
    hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call("bundle", "create", "out.tar", "--lm-eval", "plain_task", "--fetch")
    bundle = str(Path("out.tar").absolute())
    moved("out.tar", monkeypatch, tmp_path)
    mine = Path("forebay.lock").read_bytes()
    assert "lock" not in typed("bundle", "install", bundle).stdout  # the same: nothing to say
    Path("forebay.lock").write_text("another\n")
    assert "forebay.lock is there already" in typed("bundle", "install", bundle).stdout
    assert "is there already" in typed("bundle", "install", bundle, "--lock", "forebay.lock", code=2).stderr
    assert Path("forebay.lock").read_text() == "another\n"
    typed("bundle", "install", bundle, "--lock", "else.lock", "--json")
    assert Path("else.lock").read_bytes() == mine
    assert "cannot write" in typed("bundle", "install", bundle, "--lock", "no/such/x.lock", code=2).stderr


def test_what_is_no_lock_file_is_not_written(
    hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("junk").write_text("#!/bin/sh\n[[repository]\n")
    call("bundle", "create", "out.tar", "--lm-eval", "plain_task", "--fetch", "--lock", "junk")
    bundle = str(Path("out.tar").absolute())
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert "the bundle's forebay.lock is no lock file" in typed("bundle", "install", bundle).stdout
    assert "is no lock file" in typed("bundle", "install", bundle, "--lock", "mine", code=2).stderr
    assert not list(Path().iterdir())
