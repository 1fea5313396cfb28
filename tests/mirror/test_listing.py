"""Folders and their git names follow from a snapshot's files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forebay.hub.snapshot import Snapshot, SnapshotFile
from forebay.mirror.listing import Listing, etag, git_oid, sha256
from forebay.testing.fakehub import Repository

_NAMES = st.text("ab-.", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
_PATHS = st.lists(st.lists(_NAMES, min_size=1, max_size=3).map("/".join), unique=True, max_size=12).map(
    lambda paths: [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
)


def snapshot_of(repository: Repository) -> Snapshot:
    files = (
        SnapshotFile(path, file.size, file.identity, file.oid if file.lfs else "", file.sha256 if file.lfs else "")
        for path, file in sorted(repository.at().files.items())
    )
    return Snapshot("hf", repository.type, repository.id, repository.head, tuple(files))


@settings(deadline=None)
@given(_PATHS)
def test_names_are_git_s_own(paths: list[str]) -> None:
    repository = Repository("a/b", files={path: path for path in paths})
    tree = Listing(snapshot_of(repository))
    commit = repository.at()
    assert tree.folders == commit.folders
    for folder in commit.folders:
        assert tree.below(folder) == commit.listed(folder)
        assert tree.below(folder, recursive=True) == commit.listed(folder, recursive=True)
    for path in paths:
        assert tree.oid(path) == commit.oid(path)


def test_a_folder_that_is_not_there_is_none() -> None:
    tree = Listing(snapshot_of(Repository("a/b", files={"data/a": "x"})))
    for ask in (lambda: tree.below("dat"), lambda: tree.below("data/a", recursive=True), lambda: tree.oid("b")):
        with pytest.raises(KeyError):
            ask()


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        (SnapshotFile("a", 1, f"git:{'1' * 40}"), ("1" * 40, None, "1" * 40)),
        (SnapshotFile("a", 1, f"sha256:{'2' * 64}", "3" * 40, "2" * 64), ("3" * 40, "2" * 64, "2" * 64)),
        (SnapshotFile("a", 1, f"sha256:{'2' * 64}"), (None, "2" * 64, "2" * 64)),
    ],
)
def test_names_of_a_file(file: SnapshotFile, wanted: tuple[Any, ...]) -> None:
    oid, hashed, named = wanted
    assert git_oid(file) == oid if oid else len(bytes.fromhex(git_oid(file))) == 20
    assert (sha256(file), etag(file)) == (hashed, named)
