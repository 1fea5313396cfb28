"""`forebay fetch --lm-eval … --update` and `--locked`: the same bytes again, or a clear no."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_hub import FEATURES, Call, typed

from forebay.config import Settings
from forebay.hub import Hub, Snapshot
from forebay.hub import lock as locks
from forebay.store import Store
from forebay.testing import FakeHub, Repository, tinydata

PLAIN, FAMILY = "hf://datasets/org/plain", "hf://datasets/org/family"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let every test begin in an empty folder, with an empty store; branches are asked for each time."""
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "here"))
    monkeypatch.setenv("FOREBAY_FRESH_SECONDS", "0")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def locked() -> dict[str, locks.LockedRepository]:
    return {one.reference: one for one in locks.read(Path("forebay.lock")).repositories}


def paths(reference: str) -> list[str]:
    return [file.path for file in locked()[reference].files]


def repository(hub: FakeHub, kind: str, name: str) -> Repository:
    found = hub.shelf.find("hf", kind, name)
    assert found is not None
    return found


def changed(hub: FakeHub, name: str, path: str) -> None:
    """Commit other rows to a repository."""
    rows = [{"question": f"What else? {n}"} for n in range(5)]
    repository(hub, "dataset", name).commit({path: tinydata.parquet(rows, FEATURES)})


def meant(home: Path, reference: str) -> Snapshot:
    with Store.open(Settings(home=home)) as store, Hub(store) as hub:
        return hub.resolve(reference, offline=True)


def test_update_writes_what_the_tasks_load_and_keeps_the_rest(hub: FakeHub, call: Call) -> None:
    call("fetch", "--update", "--lm-eval", "plain_task,family_one")
    assert set(locked()) == {PLAIN, FAMILY}
    assert paths(FAMILY) == ["README.md", "one/dev.parquet", "one/test.parquet"]
    assert (locked()[FAMILY].partial, locked()[PLAIN].partial) == (True, False)
    before = locked()
    changed(hub, "org/family", "one/test.parquet")
    call("fetch", "--update", "--lm-eval", "plain_task")
    assert locked() == before  # it was not asked for
    call("fetch", "--update", "--lm-eval", "family_one")
    assert locked()[FAMILY].commit != before[FAMILY].commit
    assert locked()[PLAIN] == before[PLAIN]


def test_update_of_some_files_renews_the_others_that_are_locked(hub: FakeHub, call: Call) -> None:
    typed("fetch", "--update", FAMILY)
    everything, commit = paths(FAMILY), locked()[FAMILY].commit
    assert "two/test.parquet" in everything
    changed(hub, "org/family", "two/test.parquet")
    call("fetch", "--update", "--lm-eval", "family_one")
    assert paths(FAMILY) == everything
    assert locked()[FAMILY].commit != commit


def test_update_alone_renews_no_more_than_is_locked(hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:

    call("fetch", "--update", "--lm-eval", "family_one")
    before = len(hub.log)
    changed(hub, "org/family", "one/test.parquet")
    typed("fetch", "--update", "--quiet")
    asked = [each.path for each in hub.log[before:] if "/resolve/" in each.path]
    assert len(asked) == 1
    assert asked[0].endswith("one/test.parquet")
    assert paths(FAMILY) == ["README.md", "one/dev.parquet", "one/test.parquet"]
    repository(hub, "dataset", "org/family").commit({}, delete=["one/test.parquet"])
    assert "has no one/test.parquet any more" in typed("fetch", "--update", code=2).stderr


def test_locked_fetches_that_and_not_what_came_later(
    hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call("fetch", "--update", "--lm-eval", "family_one")
    one = locked()[FAMILY]
    changed(hub, "org/family", "one/test.parquet")
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "there"))
    call("fetch", "--locked", "--lm-eval", "family_one")
    assert meant(tmp_path / "there", FAMILY).commit == one.commit
    with Store.open(Settings(home=tmp_path / "there")) as store:
        locks.check(store, one)
    hub.die()
    call("fetch", "--locked", "--lm-eval", "family_one")  # nobody need be asked again


def test_locked_takes_a_branch_back_and_says_so(hub: FakeHub, call: Call, place: Path) -> None:
    call("fetch", "--update", "--lm-eval", "plain_task")
    old = locked()[PLAIN].commit
    changed(hub, "org/plain", "default/train.parquet")
    call("fetch", "--lm-eval", "plain_task")
    new = meant(place.parent / "here", PLAIN).commit
    assert new != old
    done = call("fetch", "--locked", "--lm-eval", "plain_task")
    assert f"{PLAIN} means {old[:12]} here now, not {new[:12]}" in done.stderr
    assert meant(place.parent / "here", PLAIN).commit == old
    assert "means" not in call("fetch", "--locked", "--lm-eval", "plain_task").stderr
    call("fetch", "--quiet", "--lm-eval", "plain_task")
    assert meant(place.parent / "here", PLAIN).commit == new  # a hub that is asked is believed


def test_a_commit_that_the_hub_has_lost_comes_from_the_store(hub: FakeHub, call: Call) -> None:
    call("fetch", "--update", "--lm-eval", "family_one")
    hub.shelf.repositories.remove(repository(hub, "dataset", "org/family"))
    hub.shelf.add(Repository("org/family", files={"README.md": "begun anew"}))
    before = len(hub.log)
    call("fetch", "--locked", "--lm-eval", "family_one")
    assert not [each for each in hub.log[before:] if "/resolve/" in each.path]


def test_what_is_not_locked_is_told_and_nothing_is_fetched(hub: FakeHub, call: Call) -> None:
    call("fetch", "--update", "--lm-eval", "family_one")
    before = len(hub.log)
    done = call("fetch", "--locked", "--lm-eval", "family_one,family_two,plain_task,scored", code=2)
    assert f"not locked: plain_task: {PLAIN}: is not in the lock file" in done.stderr
    assert "not locked: family_two: hf://datasets/org/family@v2" in done.stderr
    assert "nothing is fetched: forebay.lock lacks some of what these tasks load: family_two" in done.stderr
    assert "forebay fetch --update --lm-eval family_one,family_two,plain_task,scored" in done.stderr
    assert not [each for each in hub.log[before:] if "/resolve/" in each.path]
    assert "no lock file" in call("fetch", "--locked", "--lock", "none", "--lm-eval", "plain_task", code=2).stderr


def test_a_file_that_is_not_locked_or_another_one(hub: FakeHub, call: Call) -> None:
    call("fetch", "--update", "--lm-eval", "plain_task")
    [one] = locked().values()
    lost = locks.LockedRepository(one.reference, one.commit, one.files[:-1], partial=True)
    locks.write(Path("forebay.lock"), locks.Lock((lost,)))
    done = call("fetch", "--locked", "--lm-eval", "plain_task", code=2)
    assert f"{one.files[-1].path} of {PLAIN}: is not in the lock file" in done.stderr
    last = one.files[-1]
    other = locks.LockedFile(last.path, last.size, f"sha256:{'0' * 64}", last.blake3)
    locks.write(
        Path("forebay.lock"), locks.Lock((locks.LockedRepository(one.reference, one.commit, (*one.files[:-1], other)),))
    )
    done = call("fetch", "--locked", "--lm-eval", "plain_task", code=2)
    assert f"{last.path} of {PLAIN}: is another one in the lock file" in done.stderr


def test_other_bytes_than_were_locked(hub: FakeHub, call: Call) -> None:
    call("fetch", "--update", "--lm-eval", "plain_task")
    [one] = locked().values()
    last = one.files[-1]
    text = Path("forebay.lock").read_text().replace(last.blake3, "0" * 64)
    Path("forebay.lock").write_text(text)
    assert "locked is 000000000000" in call("fetch", "--locked", "--lm-eval", "plain_task", code=1).stderr


def test_metrics_are_locked_too(hub: FakeHub, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    metric = "hf://spaces/evaluate-metric/exact_match"
    call("fetch", "--update", "--lm-eval", "metrics", code=1)  # rouge is on no hub here
    assert metric in locked()
    commit = locked()[metric].commit
    space = repository(hub, "space", "evaluate-metric/exact_match")
    space.commit({"exact_match.py": "raise SystemExit('another one')\n"})
    monkeypatch.setenv("FOREBAY_HOME", str(tmp_path / "there"))
    done = call("fetch", "--locked", "--lm-eval", "metrics", code=2)
    assert "rouge: is not in the lock file" in done.stderr
    for name in ("rouge", "chrf"):
        hub.shelf.add(tinydata.metric(name))
    hub.shelf.add(Repository("nltk/data", files={"tokenizers/punkt_tab.zip": b"zipped"}))
    monkeypatch.setenv("FOREBAY_NLTK_SOURCE", f"{hub.hf_endpoint}/datasets/nltk/data/resolve/main")
    call("fetch", "--update", "--lm-eval", "metrics")
    assert locked()[metric].commit != commit
    call("fetch", "--locked", "--lm-eval", "metrics")
    space.tag("v0.4.6")  # what `evaluate` asks for first is there now, and nobody has locked it
    assert f"not locked: metrics: {metric}@v0.4.6" in call("fetch", "--locked", "--lm-eval", "metrics", code=2).stderr
