"""Bundles of what was fetched: some files of a snapshot, and names that say what they stand for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bundling import bundle, content

from forebay.bundle import InstallReport, closure, create, find_roots, install
from forebay.bundle.closures import Lacking
from forebay.config import Settings
from forebay.hub import FetchOptions, Hub, HubSettings, Snapshot
from forebay.hub.holdings import holdings
from forebay.hub.snapshot import FILE, SNAPSHOT
from forebay.store import Store
from forebay.testing import FakeHub, Repository

REFERENCE = "hf://datasets/org/rows"
FILES = {"README.md": "hello", "a.csv": "1\n" * 10, "b.csv": "2\n" * 10, "c.csv": "3\n" * 10}


def fetched(store: Store, *paths: str) -> Snapshot:
    """Fetch some files into a store; none: all."""
    fake = FakeHub([Repository("org/rows", files=FILES)])
    with fake, Hub(store, HubSettings(hf_endpoints=(fake.hf_endpoint,), ms_endpoints=())) as hub:
        return hub.fetch(REFERENCE, FetchOptions(include=paths))


def some(store: Store, snapshot: Snapshot, out: Path, *paths: str) -> None:
    roots = [(SNAPSHOT, snapshot.key)]
    create(store, closure(store, roots, {snapshot.key: set(paths)}), out)


def held(store: Store, snapshot: Snapshot) -> set[str]:
    with Hub(store) as hub:
        return {file.path for file in snapshot.files if hub.file(snapshot, file.path) is not None}


def installed(folder: Path, path: Path, *before: str) -> tuple[InstallReport, set[str]]:
    """Install into a store that has some files already; return what came of it, and which files are there now."""
    with Store.open(Settings(home=folder)) as store:
        snapshot = fetched(store, *before) if before else None
        report = install(store, path)
        if snapshot is None:
            with Hub(store) as hub:
                snapshot = hub.resolve(REFERENCE, offline=True)
        entry = store.get(SNAPSHOT, snapshot.key)
        assert entry is not None
        named = {ref.role for ref in entry.objects if ref.role.startswith("file:")}
        assert entry.meta["fetched"] == ("all" if len(named) == 4 else sorted(role[5:] for role in named))
        return report, held(store, snapshot)


def test_only_some_files_of_a_snapshot(store: Store, tmp_path: Path) -> None:
    snapshot = fetched(store)
    some(store, snapshot, tmp_path / "some.tar", "README.md", "b.csv")
    report, there = installed(tmp_path / "empty", tmp_path / "some.tar")
    assert there == {"README.md", "b.csv"}
    assert report.names == ("hub/hf/dataset/org/rows/main",)
    assert held(store, snapshot) == set(FILES)  # here nothing has changed
    entry = store.get(SNAPSHOT, snapshot.key)
    assert entry is not None
    assert entry.meta["fetched"] == "all"


def test_files_that_do_not_come_along_are_told(store: Store, tmp_path: Path) -> None:
    """After a fetch that was cut, say: the machine without network is the wrong place to find out."""
    snapshot = fetched(store, "a.csv")
    found = closure(store, find_roots(store, [REFERENCE]))
    assert found.lacking == (Lacking(REFERENCE, snapshot.commit, 3, 4),)
    assert closure(store, [(SNAPSHOT, snapshot.key)], {snapshot.key: {"a.csv"}}).lacking == ()  # no others are wanted
    command = [sys.executable, "-m", "forebay", "--home", str(store.home), "bundle", "create", str(tmp_path / "b.tar")]
    done = subprocess.run([*command, REFERENCE], capture_output=True, text=True, check=True)
    said = (
        f"forebay: 3 of 4 files of {REFERENCE} at {snapshot.commit[:12]} are not in the store, so not in the bundle; "
    )
    assert done.stderr == f"{said}`forebay fetch {REFERENCE}` brings them\n"
    done = subprocess.run([*command, REFERENCE, "--replace", "--json"], capture_output=True, text=True, check=True)
    told = {"dataset": REFERENCE, "commit": snapshot.commit, "files": 3, "of": 4}
    assert (json.loads(done.stdout)["lacking"], done.stderr) == ([told], "")
    fetched(store)
    assert closure(store, find_roots(store, [REFERENCE])).lacking == ()


def test_the_same_as_if_no_others_had_been_fetched(store: Store, other: Store) -> None:
    paths = ("README.md", "b.csv")
    snapshot = fetched(store)
    cut = closure(store, [(SNAPSHOT, snapshot.key)], {snapshot.key: set(paths)})
    few = closure(other, [(SNAPSHOT, fetched(other, *paths).key)])
    assert [(each.kind, each.key, each.meta) for each in cut.entries] == [
        (each.kind, each.key, each.meta) for each in few.entries
    ]
    roles = [{(ref.role, ref.size) for each in found.entries for ref in each.objects} for found in (cut, few)]
    assert roles[0] == roles[1]


def test_all_files_are_no_cut(store: Store) -> None:
    snapshot = fetched(store)
    roots = [(SNAPSHOT, snapshot.key)]
    assert closure(store, roots, {snapshot.key: set(FILES)}) == closure(store, roots)
    assert len([each for each in closure(store, roots, {snapshot.key: set()}).entries if each.kind == FILE]) == 0


def test_stores_that_have_more_less_or_others(store: Store, tmp_path: Path) -> None:
    snapshot = fetched(store)
    some(store, snapshot, tmp_path / "some.tar", "README.md", "b.csv")
    report, there = installed(tmp_path / "less", tmp_path / "some.tar", "README.md")
    assert (there, report.differing) == ({"README.md", "b.csv"}, ())
    report, there = installed(tmp_path / "more", tmp_path / "some.tar", "*")
    assert (there, report.entries, report.differing) == (set(FILES), 0, ())
    _, there = installed(tmp_path / "others", tmp_path / "some.tar", "a.csv")
    assert there == {"README.md", "a.csv", "b.csv"}


def test_installed_names_are_branches_again(store: Store, other: Store, tmp_path: Path) -> None:
    fetched(store)
    bundle(store, tmp_path / "all.tar", "hub/hf/dataset/org/rows")
    install(other, tmp_path / "all.tar")
    assert content(other).items() <= content(store).items()
    [one] = holdings(other)
    assert (one.is_default, one.revisions, one.ids) == (True, {"main"}, {"org/rows"})


def test_roots_and_files_of_other_snapshots_do_not_mix(store: Store, tmp_path: Path) -> None:
    snapshot = fetched(store)
    store.names.set("runs/mine", SNAPSHOT, snapshot.key)
    whole = closure(store, find_roots(store, ["runs/mine"]), {})
    assert {each.name for each in whole.names} == {"hub/hf/dataset/org/rows/main", "runs/mine"}
    assert len([each for each in whole.entries if each.kind == FILE]) == 4
